"""Many packs on one computer: what 16 packs of 96 cells cost, stage by stage; writes its own page.

    python benchmarks/many_packs.py                 # prints and writes docs/validation/many-packs.md
    python benchmarks/many_packs.py --packs 4 --scans 100 --no-page

Every stage is the real one, each pack with its own instances: driver (decode of the CAN frames of the twin),
safety monitor, state of charge, state of health, power limits, diagnosis, the conversion to and from
messages, and the aggregator of all. Stages run one after the other, pack after pack, so that each pack finds
the caches full of the others' data. What is counted is processor time of this thread; the transport of the
messages (DDS) comes on top and shows in real processes (``--run``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from soh_report.page import printed_to

PAGE = Path(__file__).parents[1] / "docs" / "validation" / "many-packs.md"
PACK = "demo_96s_nmc"
RATES_HZ = (1.0, 2.0, 5.0, 10.0, 20.0)
WARM_SCANS = 10
LIMITS_HZ = 2.0
SHARE = 0.7
"""Part of a core that may be planned with: the rest is for bursts and everything else."""


class Stages:
    """Processor time of each stage [s], summed over all packs, for each scan."""

    def __init__(self) -> None:
        self.spent_s: dict[str, list[float]] = defaultdict(list)

    def run(self, name: str, what: Callable[..., Any], *arguments: Any) -> Any:
        """Run a stage once and add its time to the present scan."""
        before_s = time.thread_time()
        result = what(*arguments)
        self.spent_s[name][-1] += time.thread_time() - before_s
        return result

    def next_scan(self) -> None:
        """Begin a scan."""
        for spent in self.spent_s.values():
            spent.append(0.0)


class OnePack:
    """Everything that runs for one pack, without ROS."""

    def __init__(self, number: int) -> None:
        from openbms_control.aggregation.pack_view import PackFacts
        from openbms_control.safety.monitor import SafetyMonitor
        from openbms_control.safety.record import FaultRecord
        from openbms_core.pack import load_pack
        from openbms_drivers.pack_driver import PackDriver
        from openbms_estimation.diagnosis.pack_diagnoser import PackDiagnoser
        from openbms_estimation.soc.pack_estimator import PackSocEstimator
        from openbms_estimation.soh.pack_estimator import PackSohEstimator
        from openbms_estimation.sop.reported import power_limiter_of

        self.pack = load_pack(f"{PACK}#BENCH-{number}")
        self.facts = PackFacts.of(f"pack_{number}", self.pack)
        self.driver = PackDriver(self.pack, simulated=True)
        self.driver.health.opened(1000.0)
        self.driver.start(1000.0)
        self.monitor = SafetyMonitor(self.pack, FaultRecord(self.pack.file.serial), simulated_time=True)
        self.soc, self.soh = PackSocEstimator(self.pack), PackSohEstimator(self.pack)
        self.limiter, self.diagnoser = (
            power_limiter_of(self.pack, (2.0, 10.0, 30.0, 1800.0)),
            PackDiagnoser(self.pack),
        )
        self.last_soh: Any = None

    def scan_of(self, frames: list[Any], now_s: float) -> Any:
        """Decode the frames of one scan."""
        scan = None
        for frame in frames:
            scan = self.driver.receive(frame) or scan
        return scan or self.driver.tick(now_s, now_s)


def recorded_frames(scans: int) -> list[tuple[float, list[Any]]]:
    """Let the twin live for a while; give time and frames of each scan."""
    from openbms_core.pack import load_pack
    from openbms_drivers.frame import Frame
    from openbms_sim.twin import TICK_S
    from openbms_sim.twin_setup import TwinSettings, build_twin
    from openbms_sim.vehicle import Permission

    twin, _ = build_twin(load_pack(PACK), TwinSettings(source="plant", initial_soc=0.6))
    found: list[tuple[float, list[Any]]] = []
    due: list[Any] = []
    now_s = 1000.0
    while len(found) < scans:
        now_s += TICK_S
        sent = twin.tick([], Permission(), now_s)
        due += [Frame(identifier, bytes(data), 0, now_s, now_s) for identifier, data in sent]
        if twin.scan_ended:
            found.append((now_s, due))
            due = []
    return found


def through_ros(kind: Any, message: Any, times: int, convert_back: Callable[[Any], Any]) -> None:
    """Write a message once, and read and convert it as often as somebody listens."""
    from rclpy.serialization import deserialize_message, serialize_message

    data = bytes(serialize_message(message))
    for _ in range(times):
        convert_back(deserialize_message(data, kind))


def one_scan(one: OnePack, stages: Stages, sent: list[Any], now_s: float) -> Any:
    """Run every stage of one pack; give what the aggregator hears of it."""
    from openbms_control.aggregation.pack_view import PackView
    from openbms_core.ros import convert, wire
    from openbms_msgs import msg

    serial = one.pack.file.serial
    scan = stages.run("driver: check and decode frames", one.scan_of, sent, now_s)
    raw = stages.run(CONVERSION, wire.MEASUREMENT.encode, scan, scan.stamp_s, serial)
    for _ in range(2):  # safety monitor, aggregator
        stages.run(CONVERSION, wire.MEASUREMENT.decode, raw)
    decision = stages.run("safety monitor", one.monitor.step, scan, now_s, now_s)
    soc = stages.run("state of charge", one.soc.step, scan)
    stages.run("state of health", one.soh.step, scan, soc)
    limits = stages.run("power limits", one.limiter.step, scan, soc, None)
    stages.run("diagnosis", one.diagnoser.step, scan, soc)
    # five nodes take each scan as a message, three of them each state of charge
    back = convert.measurement_from_msg
    message = convert.measurement_to_msg(scan, serial)
    stages.run(CONVERSION, through_ros, msg.PackMeasurement, message, 5, back)
    said = stages.run(CONVERSION, convert.state_of_charge_to_msg, soc, serial)
    stages.run(CONVERSION, through_ros, msg.StateOfCharge, said, 3, convert.state_of_charge_from_msg)
    if limits is not None:
        given = stages.run(CONVERSION, convert.power_limits_to_msg, limits, serial)
        stages.run(CONVERSION, through_ros, msg.PowerLimits, given, 1, convert.power_limits_from_msg)
    return PackView(one.facts, decision.status, decision.limits, 0.5, scan, soc, None, ())


def measured(packs: int, scans: int) -> tuple[Stages, int]:
    """Run every stage of every pack over the scans; give the times and the frames of a scan."""
    from openbms_control.aggregation.aggregator import Aggregator
    from openbms_core.ros import wire

    frames = recorded_frames(scans + WARM_SCANS)
    every = [OnePack(number) for number in range(packs)]
    whole = Aggregator([one.facts for one in every])
    stages = Stages()
    for name in NAMES:
        stages.spent_s[name] = []
    for now_s, sent in frames:
        stages.next_scan()
        views = [one_scan(one, stages, sent, now_s) for one in every]
        stages.run("aggregator of all", whole.step, views, now_s)
        scan = stages.run("aggregator of all", whole.scan, views, now_s)
        stages.run("aggregator of all", wire.MEASUREMENT.encode, scan, now_s, "BENCH")
    return stages, len(frames[0][1])


CONVERSION = "to and from messages"
NAMES = (
    "driver: check and decode frames",
    "safety monitor",
    "state of charge",
    "state of health",
    "power limits",
    "diagnosis",
    CONVERSION,
    "aggregator of all",
)


def report(packs: int, scans: int) -> tuple[float, float]:
    """Print what the stages cost; give the time of a scan of all packs, and of its power limits [s]."""
    stages, frames = measured(packs, scans)
    print(
        f"{packs} packs of `{PACK}` (96 cells, {frames} frames a scan), {scans} scans; all packs together:\n"
    )
    print("| Stage | CPU of a scan, median | 95 % | of one core at 10 Hz |")
    print("|---|---|---|---|")
    total = np.zeros(scans)
    for name in NAMES:
        spent = np.array(stages.spent_s[name][WARM_SCANS:])
        total += spent
        print(
            f"| {name} | {1e3 * np.median(spent):.2f} ms | {1e3 * np.percentile(spent, 95):.2f} ms "
            f"| {1e3 * np.median(spent):.1f} % |"
        )
    whole_s = float(np.median(total))
    worst_s = float(np.percentile(total, 95))
    print(f"| **together** | {1e3 * whole_s:.1f} ms | {1e3 * worst_s:.1f} ms | {1e3 * whole_s:.0f} % |")
    return whole_s, float(np.median(stages.spent_s["power limits"][WARM_SCANS:]))


def fits(cores: float) -> str:
    """Say on how many cores it fits."""
    needed = int(np.ceil(cores / SHARE))
    return f"{needed} core{'s' if needed > 1 else ''}"


def real_processes(seconds: float) -> dict[str, Any]:
    """Run the shipped rack as a user does; give its summary."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder, "summary.json")
        command = [sys.executable, "-m", "openbms_bringup.cli.main", "run", "--system", "rack"]
        command += ["--duration", f"{seconds:g}", "--summary", str(summary), "--data-dir", folder]
        environment = {**os.environ, "XDG_STATE_HOME": folder}
        subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, timeout=seconds + 120.0, env=environment
        )
        return dict(json.loads(summary.read_text(encoding="utf-8")))


def report_processes(seconds: float) -> None:
    """Print what the processes of the shipped rack use."""
    result = real_processes(seconds)
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, use in result["processes"].items():
        groups[name.partition("_string_")[0]].append(use)
    print(f"\n## Real processes: the shipped rack, 4 packs of 16 cells at 10 Hz, {seconds:g} s\n")
    print("| Process | How many | of one core, each | Memory, each |")
    print("|---|---|---|---|")
    for name, uses in groups.items():
        cpu = [use["cpu_percent"] for use in uses if use["cpu_percent"] is not None]
        memory = [use["memory_mb"] for use in uses if use["memory_mb"] is not None]
        print(
            f"| {name} | {len(uses)} | {np.mean(cpu) if cpu else float('nan'):.1f} % "
            f"| {np.mean(memory) if memory else float('nan'):.0f} MB |"
        )
    print(
        f"\nScans of the aggregate: {result['scans']}, lost {result['scans_lost']}; state at the end: "
        f"{result['state']}. Together {result['cpu_percent']:.0f} % of one core."
    )


def main() -> None:
    """Measure, print, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packs", type=int, default=16)
    parser.add_argument("--scans", type=int, default=60)
    parser.add_argument(
        "--run", type=float, default=0.0, metavar="SECONDS", help="run the shipped rack as well"
    )
    parser.add_argument("--no-page", action="store_true")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    cores = os.cpu_count() or 1
    with printed_to(None if given.no_page else PAGE, "python benchmarks/many_packs.py"):
        print("# Many packs on one computer\n")
        print(
            f"Printed by `python benchmarks/many_packs.py` on {time.strftime('%Y-%m-%d')}, "
            f"{platform.machine()}, Python {platform.python_version()}, {cores} cores shared with other "
            "work. Processor time of the thread: what others use is not counted, but their use of the "
            "caches and of the clock makes it larger. The packs stand still (no current flows).\n"
        )
        whole_s, limits_s = report(given.packs, given.scans)
        print("\n| Scan rate | All stages, of one core | Fits | Power limits at 2 Hz only | Fits |")
        print("|---|---|---|---|---|")
        for rate_hz in RATES_HZ:
            use = whole_s * rate_hz
            less = use - limits_s * max(rate_hz - LIMITS_HZ, 0.0)
            print(f"| {rate_hz:g} Hz | {100 * use:.0f} % | {fits(use)} | {100 * less:.0f} % | {fits(less)} |")
        print(
            f"\n*Fits*: at most {100 * SHARE:.0f} % of each core. Not in these figures: the transport "
            "between processes (DDS), the executor of ROS, recording and the live view. *2 Hz only*: "
            "`power_limiter: {parameters: {period_s: 0.5}}`. The `bms` process is one thread: what stands "
            "under state of charge, health, power limits and diagnosis, and most of the messages, must fit "
            "into one core, or several packs' nodes go into several such processes."
        )
        if given.run > 0.0:
            report_processes(given.run)


if __name__ == "__main__":
    main()
