"""The system under test: real processes, a pack of its own, a chosen scheduling, and who else is busy."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cantools
import rclpy
import yaml
from bms_system import NAMESPACE, BmsSystem
from rclpy.executors import ExternalShutdownException
from rclpy.task import Future

from openbms_core.pack import load_pack
from openbms_core.resources import find_config, find_resource
from openbms_core.ros.interfaces import interface_type, listening, qos_profile
from openbms_core.ros.wire import MEASUREMENT
from openbms_core.topics import TOPICS, absolute_name
from openbms_core.types import State
from reaction.matching import Numbered
from reaction.witness import Witness

__all__ = ["LOADS", "Bench", "busy", "may_have_priority", "write_pack"]

PROCESSES = ("sim", "driver", "safety", "bms")
_HARDWARE_PRIORITY = 45
_DRIVER_PRIORITY, _SAFETY_PRIORITY = 30, 29
LOADS = ("idle", "loaded")


def may_have_priority() -> bool:
    """Tell whether this process may use SCHED_FIFO."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, policy, parameter)
    return True


@contextlib.contextmanager
def busy(load: str) -> Iterator[str]:
    """Keep every processor busy with other programs while the block runs; give what they are."""
    if load == "idle":
        yield "nothing else"
        return
    count = len(os.sched_getaffinity(0))
    program = "import numpy as np\na = np.random.rand(384, 384)\nwhile True: a = a @ a; a /= np.abs(a).max()"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(count)]
    try:
        time.sleep(1.0)
        yield f"{count} programs that multiply matrices without end, at the ordinary priority"
    finally:
        for process in running:
            process.kill()
            process.wait()


def write_pack(folder: Path, *, scan_period_s: float | None = None, at_once: bool = False) -> str:
    """Write a copy of the demonstration pack; give its path (or name, where nothing changes).

    Parameters
    ----------
    folder : Path
        Where it is written.
    scan_period_s : float, optional
        Another scan period; the twin scans by it too.
    at_once : bool
        The rows that are tried have no debounce and no delay, precharge is short and may be repeated without
        end: what is left is what software and contactors cost.
    """
    if scan_period_s is None and not at_once:
        return "demo_96s_nmc"
    pack = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    if scan_period_s is not None:
        pack["measurement"]["scan_period_s"] = scan_period_s
    if at_once:
        from reaction.fault_classes import ROWS

        timing = pack.setdefault("faults", {})
        for name in ROWS:
            timing[name] = {**timing.get(name, {}), "debounce_s": 0.0, "delay_s": 0.0}
        pack["contactors"]["precharge"] |= {
            "voltage_difference_max_v": 30.0, "current_max_a": 1.0, "cooling_time_s": 0.01,
        }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pack_{'at_once' if at_once else 'as_shipped'}_{scan_period_s or 0.1:g}.yaml"
    path.write_text(yaml.safe_dump(pack), encoding="utf-8")
    return str(path)


class Bench(BmsSystem):
    """The processes of the demonstration without recorder and live view, and a listener of few topics.

    Parameters
    ----------
    folder : Path
        For parameters, logs and the fault record.
    pack : str
        Pack file.
    priority : bool
        Driver and monitor ask for SCHED_FIFO and locked memory. The process that stands for device and bus
        has a higher priority wherever it is permitted: hardware would not wait for a processor.
    """

    TOPICS = ("state", "twin_truth", "faults")

    def __init__(self, folder: Path, pack: str, *, priority: bool) -> None:
        real_time = {"lock_memory": True}
        parameters: dict[str, dict[str, Any]] = {"twin": {"load_factor": 1.0}}
        if priority:
            parameters |= {
                "afe_driver": {"real_time_priority": _DRIVER_PRIORITY, **real_time},
                "safety_monitor": {"real_time_priority": _SAFETY_PRIORITY, **real_time},
            }
        super().__init__(folder, parameters, pack)
        self._replace_listener()
        self.loaded = load_pack(self.plan.pack_path)
        self.witness: Witness | None = None

    def _replace_listener(self) -> None:
        """Listen to few topics by the executor that costs little: the listener must not be the load."""
        from rclpy.experimental import EventsExecutor

        self._executor.shutdown()
        self._spinning.join(5)
        for subscription in list(self.node.subscriptions):
            self.node.destroy_subscription(subscription)
        rows = {topic.name: topic for topic in TOPICS}
        self._heard = [
            self.node.create_subscription(
                interface_type(rows[name].type),
                absolute_name(rows[name], NAMESPACE),
                lambda message, name=name: self._received(name, message),
                listening(rows[name]),
            )
            for name in self.TOPICS
        ]
        self._executor = EventsExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._listening = True
        self._spinning = threading.Thread(target=self._listen, daemon=True)
        self._spinning.start()

    def _listen(self) -> None:
        while self._listening:
            try:
                self._executor.spin_until_future_complete(Future(), timeout_sec=0.2)
            except ExternalShutdownException:
                return

    def forget(self) -> None:
        """Drop what was heard so far on topics, and what the bus carried more than two seconds ago."""
        with self._new:
            self.messages.clear()
        if self.witness is not None:
            self.witness.forget_before(time.time() - 2.0)

    def bring_up(self) -> Witness:
        """Start everything, join the bus, close the contactors; give who is on the bus."""
        self.start(*PROCESSES)
        self.wait("state", lambda m: m.state == State.STANDBY, 30, since=0.0)
        self.give_hardware_priority()
        twin = yaml.safe_load(self.files["sim"].read_text())["/**/twin"]["ros__parameters"]
        database = cantools.database.load_file(find_resource(self.loaded.file.device.dbc, self.loaded.path))
        self.witness = Witness(twin["can_host"], twin["can_port"], database)
        self.witness.start()
        self.close_contactors()
        return self.witness

    def give_hardware_priority(self) -> None:
        """Let what stands for hardware run before everything else, where that is permitted."""
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{self.processes['sim'].process.pid}/task").iterdir():
                os.sched_setscheduler(int(entry.name), os.SCHED_FIFO, os.sched_param(_HARDWARE_PRIORITY))

    def close_contactors(self, timeout_s: float = 30.0) -> None:
        """Clear what is latched and bring the pack to DRIVE, as often as it takes."""
        deadline = time.monotonic() + timeout_s
        reason = ""
        while time.monotonic() < deadline:
            state = self.wait("state", timeout_s=max(1.0, deadline - time.monotonic()))
            if state.state == State.DRIVE:
                return
            if state.state == State.STANDBY:
                answer = self.request("drive")
                reason = answer.reason
                if answer.accepted:
                    with contextlib.suppress(AssertionError):
                        self.wait("state", lambda m: m.state in (State.DRIVE, State.FAULT), 10.0)
            elif state.state == State.FAULT:
                self.clear_faults()
                faults = self.last("faults")
                latched = [fault.id for fault in faults.faults if fault.state == 2] if faults else []
                if latched:  # those that are cleared by name only
                    self.clear_faults(*latched)
                reason = state.reason
            time.sleep(0.02)
        raise TimeoutError(f"the contactors could not be closed within {timeout_s:g} s: {reason}")

    def listen_to_scans(self) -> Numbered:
        """Listen to nothing but the scans, of which none may be missed; give their stamps and numbers."""
        self._listening = False
        self._spinning.join(5)
        for subscription in self._heard:
            self.node.destroy_subscription(subscription)
        row = next(topic for topic in TOPICS if topic.name == "measurement")
        taken: Numbered = []

        def note(received: Any) -> None:
            scan = MEASUREMENT.decode(received)
            taken.append((scan.stamp_s, scan.scan_number))

        self._heard = [
            self.node.create_subscription(
                interface_type(row.type), absolute_name(row, NAMESPACE), note, qos_profile(row),
                raw=MEASUREMENT.raw,
            )
        ]  # fmt: skip
        self._listening = True
        self._spinning = threading.Thread(target=self._listen, daemon=True)
        self._spinning.start()
        return taken

    def close(self) -> None:
        """End everything."""
        self._listening = False
        if self.witness is not None:
            self.witness.leave()
        with contextlib.suppress(Exception):
            super().close()
        with contextlib.suppress(Exception):
            rclpy.shutdown(context=self._context)
