"""One look at a parked pack: driver and monitor up, some scans, verdict, down, and what follows from it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from openbms_bringup.host import run_on_host
from openbms_bringup.parked.report import as_data, as_text, summary_line
from openbms_bringup.parked.store import load_memory, save_memory, write_whole
from openbms_bringup.parked.wake import Wake
from openbms_bringup.run import PreparedRun
from openbms_bringup.supervisor import Supervisor
from openbms_control.safety.parked.judge import Verdict, judge, wake_after_s
from openbms_control.safety.parked.snapshot import ParkedMemory, take_snapshot
from openbms_core.pack import load_pack
from openbms_core.types import PackMeasurement
from openbms_drivers.bus_claim import BusClaim

__all__ = ["ALARM", "IN_USE", "NOT_JUDGED", "WARN", "ParkedCheck", "ParkedOptions"]

NOT_JUDGED, WARN, ALARM, IN_USE = 1, 3, 4, 5
"""Exit codes beside 0 (ok) and 2 (configuration)."""
_EXIT = {"ok": 0, "warn": WARN, "alarm": ALARM}
_SLICE_S = 0.05
_DISCOVERY_S = 1.5
"""Time to find a system that runs already: a second driver on the bus would open its contactors."""
_TELL_S = 0.3
_ATTEMPTS = 2


@dataclass(frozen=True)
class ParkedOptions:
    """What ``openbms parked-check`` was told.

    Attributes
    ----------
    scans : int
        Complete scans that are taken.
    timeout_s : float
        What is there after this time is judged [s].
    interval_s : float
        Usual time between checks [s].
    wake : Wake
    on_warn, on_alarm, then : list of str
        Commands of the host; empty: none.
    as_json : bool
    memory : Path
    """

    scans: int
    timeout_s: float
    interval_s: float
    memory: Path
    wake: Wake = field(default_factory=Wake)
    on_warn: list[str] = field(default_factory=list)
    on_alarm: list[str] = field(default_factory=list)
    then: list[str] = field(default_factory=list)
    as_json: bool = False


class ParkedCheck:
    """One check.

    Parameters
    ----------
    run : PreparedRun
        With the processes of driver and monitor alone.
    options : ParkedOptions
    """

    def __init__(self, run: PreparedRun, options: ParkedOptions) -> None:
        self._run = run
        self._options = options
        self._pack = load_pack(run.plan.pack_path)
        self._stopped = ""
        self._again = False
        self._problems: list[str] = list(run.notes)

    def __call__(self) -> int:
        """Look, judge, remember, tell; give the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        try:
            for _ in range(_ATTEMPTS):
                self._again = False
                verdict, why_not, code = self._look()
                if not self._again:
                    break
        finally:
            self._run.claim.release()
        if verdict is None:
            self._say(f"not checked: {why_not}")
            # somebody else looks after a pack that is in use
            if code == NOT_JUDGED:
                self._arm(self._options.interval_s)
                self._then()
            return code
        return self._follow(verdict)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self._stopped = f"signal {signal.Signals(number).name}"

    # ---- looking -------------------------------------------------------------------------------------------

    def _look(self) -> tuple[Verdict | None, str, int]:
        os.environ["ROS_DOMAIN_ID"] = str(self._run.claim.domain)
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from rclpy.task import Future

        from openbms_bringup.ros.parked_node import ParkedNode
        from openbms_core.ros.executor import make_executor

        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        node = ParkedNode(self._run.options.namespace, self._pack.file)
        executor = make_executor()
        executor.add_node(node)

        def spin_until(condition: Any, longest_s: float, poll: Any = None) -> None:
            end_s = time.monotonic() + longest_s
            while not condition() and time.monotonic() < end_s and not self._stopped:
                executor.spin_until_future_complete(Future(), timeout_sec=_SLICE_S)
                if poll is not None:
                    poll()

        try:
            spin_until(node.system_runs, _DISCOVERY_S)
            if node.system_runs():
                return None, "the battery management runs already and looks after the pack.", IN_USE
            if self._driver_runs():
                return None, "another driver is on the bus of the pack.", IN_USE
            return self._collect(node, spin_until)
        finally:
            node.destroy_node()
            rclpy.try_shutdown()

    def _driver_runs(self) -> bool:
        """Tell whether a driver of this pack is on its bus: discovery alone may be too slow to know."""
        process = next(
            values["ros__parameters"]
            for process in self._run.plan.parameters.values()
            for node, values in process.items()
            if node == "/**/afe_driver"
        )
        names = ("can_interface", "can_channel", "can_host", "can_port")
        with BusClaim(*(process[name] for name in names), self._pack.file.serial) as claim:
            return not claim.take()

    def _collect(self, node: Any, spin_until: Any) -> tuple[Verdict | None, str, int]:
        options = self._options
        supervisor = Supervisor(
            self._run.specs, self._run.log_folder, self._run.plan.stop_deadline_s, self._note
        )
        supervisor.start()
        try:
            spin_until(
                lambda: node.in_use or supervisor.refused or len(node.complete) >= options.scans,
                options.timeout_s,
                supervisor.poll,
            )
            verdict, why_not, code = self._judge(node, supervisor)
            if verdict is not None:
                values = {"remaining_days": f"{verdict.remaining_days:.1f}"}
                node.tell(verdict.level, summary_line(verdict), values)
                spin_until(lambda: False, _TELL_S, supervisor.poll)
            return verdict, why_not, code
        finally:
            supervisor.stop()

    def _note(self, problem: bool, text: str) -> None:
        if problem:
            self._problems.append(text)

    def _judge(self, node: Any, supervisor: Supervisor) -> tuple[Verdict | None, str, int]:
        if self._stopped:
            return None, f"stopped by {self._stopped}.", IN_USE
        if supervisor.refused:
            return None, f"{supervisor.refused} refuses its configuration; see {self._run.log_folder}.", 2
        if node.in_use:
            return None, f"{node.in_use}: the pack is not parked.", IN_USE
        scans = node.complete if len(node.complete) >= self._options.scans else node.scans
        memory, problem = load_memory(self._options.memory)
        if problem:
            self._problems.append(problem)
        silent = self._silent(node, scans)
        if silent:
            if memory is not None:
                self._keep(memory.with_missed())
            return None, f"{silent} within {self._options.timeout_s:g} s.", NOT_JUDGED
        now = take_snapshot(
            scans[-self._options.scans :], start_count=int(node.state.start_count), rested_s=0.0
        )
        return judge(self._pack, now, memory, faults=node.faults), "", 0

    def _silent(self, node: Any, scans: list[PackMeasurement]) -> str:
        """Say what is missing for any judgement; empty: nothing."""
        if scans and not any(np.isfinite(scan.cell_voltages_v).any() for scan in scans):
            return f"no cell voltage: {scans[-1].bus_message or 'the pack sends none'}"
        who = "driver" if not scans else "safety monitor" if node.state is None else ""
        # on a very busy computer two processes may not find each other; anew they do
        self._again = bool(who)
        return f"the {who} says nothing (see {self._run.log_folder})" if who else ""

    def _keep(self, memory: ParkedMemory) -> None:
        try:
            save_memory(self._options.memory, memory)
        except OSError as error:
            self._problems.append(f"{self._options.memory}: cannot be written ({error.strerror or error}).")

    # ---- what follows --------------------------------------------------------------------------------------

    def _follow(self, verdict: Verdict) -> int:
        options = self._options
        next_wake_s = wake_after_s(verdict, options.interval_s)
        self._keep(verdict.memory)
        data = as_data(verdict, next_wake_s=next_wake_s, notes=self._problems)
        text = json.dumps(data, indent=2, allow_nan=False)
        words = as_text(verdict, next_wake_s=next_wake_s, notes=self._problems)
        sys.stdout.write((text if options.as_json else words) + "\n")
        sys.stdout.flush()
        command = {"alarm": options.on_alarm, "warn": options.on_warn}.get(verdict.level)
        if command:
            self._hook(command, verdict, text)
        self._arm(next_wake_s)
        self._then()
        return _EXIT[verdict.level]

    def _hook(self, command: list[str], verdict: Verdict, report: str) -> None:
        path = self._options.memory.with_name("parked_report.json")
        try:
            write_whole(path, report)
        except OSError as error:
            self._say(f"{path}: cannot be written ({error.strerror or error}).")
        self._say(
            run_on_host(
                command,
                {
                    "OPENBMS_PARKED_LEVEL": verdict.level,
                    "OPENBMS_PARKED_TEXT": summary_line(verdict),
                    "OPENBMS_PARKED_REPORT": str(path),
                },
            )
        )

    def _arm(self, seconds: float) -> None:
        self._say(self._options.wake.arm(seconds)[1])

    def _then(self) -> None:
        if self._options.then and not self._stopped:
            self._say(run_on_host(self._options.then))

    @staticmethod
    def _say(text: str) -> None:
        if text:
            sys.stderr.write(f"openbms: {text}\n")
            sys.stderr.flush()
