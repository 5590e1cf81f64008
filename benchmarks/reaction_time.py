"""Reaction of the whole chain: cell-voltage frame beyond its limit -> contactor command to open on the bus.

A third party on the CAN bus (a socketcand client of its own) sees both frames: the first one that carries
the over-voltage, and the first command that opens. Twice: with the timing of the pack file (debounce and
delay included), and with both set to zero, which leaves what driver, DDS and monitor cost.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import can
import cantools
import numpy as np
import yaml
from bms_system import BmsSystem, contactors_closed, contactors_open, fault_ids

from openbms_core.pack import load_pack
from openbms_core.resources import find_config, find_resource
from openbms_core.types import State

REPEATS = 30
CELL = 5
BEYOND_V = 4.5


class Observer(threading.Thread):
    """Somebody else on the bus, who notes when what was seen."""

    def __init__(self, host: str, port: int, database: Any) -> None:
        super().__init__(daemon=True)
        logging.getLogger("can").setLevel(logging.ERROR)
        self.bus = can.Bus(interface="socketcand", channel="can0", host=host, port=port)
        self.database = database
        self.beyond = self.opened = float("nan")
        self._armed = False
        self.seen = threading.Event()
        self._running = True

    def arm(self) -> None:
        """Wait for the next violation."""
        self.beyond = self.opened = float("nan")
        self.seen.clear()
        self._armed = True

    def run(self) -> None:
        """Look at every frame."""
        command = self.database.get_message_by_name("Bms_Command").frame_id
        cells = self.database.get_message_by_name("Cmu0_CellVoltages").frame_id
        while self._running:
            frame = self.bus.recv(0.5)
            now = time.monotonic()
            if frame is None or not self._armed:
                continue
            if frame.arbitration_id == cells and np.isnan(self.beyond):
                values = self.database.decode_message(cells, frame.data)
                if any(isinstance(v, float) and BEYOND_V < v < 6.0 for v in values.values()):
                    self.beyond = now
            elif frame.arbitration_id == command and not np.isnan(self.beyond):
                values = self.database.decode_message(command, frame.data, decode_choices=False)
                if not any(v for name, v in values.items() if name.startswith("Contactor")):
                    self.opened, self._armed = now, False
                    self.seen.set()

    def stop(self) -> None:
        """Leave the bus."""
        self._running = False
        self.join(2)
        self.bus.shutdown()


def measure(folder: Path, pack: str | None) -> tuple[list[float], list[float], float]:
    """Give reaction times until zero-current request and until the open command [s], and the scan period."""
    system = BmsSystem(folder, pack=pack)
    loaded = load_pack(system.plan.pack_path)
    database = cantools.database.load_file(find_resource(loaded.file.device.dbc, loaded.path))
    zero, opened = [], []
    try:
        system.drive()
        twin = yaml.safe_load(system.files["sim"].read_text())["/**/twin"]["ros__parameters"]
        observer = Observer(twin["can_host"], twin["can_port"], database)
        observer.start()
        for number in range(REPEATS):
            observer.arm()
            start = system.inject({"fault": "cell_voltage_offset", "cell": CELL, "offset_v": 0.9})
            assert observer.seen.wait(15), "no reaction"
            requested = system.received_at(
                "state", lambda m: m.zero_current_requested or m.state == State.FAULT, start
            )
            zero.append(requested - observer.beyond)
            opened.append(observer.opened - observer.beyond)
            system.wait("twin_truth", contactors_open, since=start)
            system.inject()
            system.wait("faults", lambda m: "CELL_OVER_VOLTAGE_SAFETY" in fault_ids(m, 2), since=start)
            system.clear_faults()
            system.wait("state", lambda m: m.state == State.STANDBY)
            # at once after opening a new precharge is locked out: ask until it is granted
            system.request_until_accepted("drive", 30)
            system.wait("twin_truth", contactors_closed, 30)
            system.wait("state", lambda m: m.state == State.DRIVE)
            print(f"\r{number + 1}/{REPEATS}", end="", file=sys.stderr, flush=True)
        observer.stop()
    finally:
        system.close()
    print(file=sys.stderr)
    return zero, opened, loaded.file.measurement.scan_period_s


def row(name: str, values: list[float]) -> str:
    """Format one line of the table."""
    p50, p99, most = (1e3 * float(v) for v in (np.median(values), np.percentile(values, 99), max(values)))
    return f"{name:58s} {p50:8.1f} {p99:8.1f} {most:8.1f}"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = find_config("packs", "demo_96s_nmc")
        fast = yaml.safe_load(source.read_text(encoding="utf-8"))
        fast["faults"] = {"CELL_OVER_VOLTAGE": {"debounce_s": 0.0, "delay_s": 0.0}}
        (folder / "fast.yaml").write_text(yaml.safe_dump(fast), encoding="utf-8")
        zero, opened, scan = measure(folder / "as_shipped", None)
        zero_fast, opened_fast, _ = measure(folder / "fast", str(folder / "fast.yaml"))
    print(
        f"Over-voltage, {REPEATS} times each, scan period {1e3 * scan:.0f} ms [ms]"
        f"{'p50':>16s} {'p99':>8s} {'max':>8s}"
    )
    print(row("frame -> zero-current request (as shipped)", zero))
    print(row("frame -> command to open on the bus (as shipped)", opened))
    print(row("frame -> zero-current request (no debounce, no delay)", zero_fast))
    print(row("frame -> command to open on the bus (no debounce, no delay)", opened_fast))
    print(
        "foxBMS 2, derived from its settings: over-voltage -> open about 1200 ms, without the AFE's latency."
    )


if __name__ == "__main__":
    main()
