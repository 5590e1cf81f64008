"""The loop of ``openbms run``: start, watch, show, end, sum up."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from openbms_bringup.host import run_on_host
from openbms_bringup.run import PreparedRun, folder_mb, supervisor_of, write_summary
from openbms_bringup.status import PackStatus, ProcessUse, one_line, rows, short_path, summary
from openbms_bringup.supervisor import Supervised, Supervisor, describe_exit
from openbms_bringup.usage import UsageMeter

__all__ = ["RunLoop"]

_SLICE_S = 0.1
_LINE_EVERY_S = 2.0
_MEMORY_EVERY_S = 5.0
_LATEST_BEGIN_S = 10.0
"""Without an estimate the use of the processor is counted from here."""
_OWN = "run"


class RunLoop:
    """One run, from the first process to the summary.

    Parameters
    ----------
    run : PreparedRun
    console : Console
        For people; a terminal gets a live view, anything else a line every two seconds.
    """

    def __init__(self, run: PreparedRun, console: Console) -> None:
        self._run = run
        self._console = console
        self._signals = 0
        self._status = PackStatus()
        self._meter = UsageMeter()
        self._startup_s: float | None = None
        self._began_s = time.monotonic()
        self._due: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._warned_of_others = False
        self._live: Live | None = None
        self._node: Any = None
        self._reason = ""
        self._state_at_end: tuple[str | None, str] = (None, "")
        self._stop_s = 0.0
        self._not_running: list[str] = []

    def __call__(self) -> int:
        """Run until the test ends, the duration is over, or a signal comes; give the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        for note in self._run.notes:
            self._say(True, note)
        plan = self._run.plan
        self._say(False, f"{plan.system.description or plan.system_path.stem}")
        self._say(False, f"logs {short_path(self._run.log_folder)}")
        if plan.system.packs:
            self._say(False, f"packs {', '.join(plan.packs)}, bus {plan.bus_text}")
        else:
            self._say(False, f"pack {short_path(plan.pack_path)}, bus {plan.bus_text}")
        supervisor = supervisor_of(self._run, self._say)
        supervisor.start()
        os.environ["ROS_DOMAIN_ID"] = str(self._run.claim.domain)
        os.environ["ROS_LOG_DIR"] = str(self._run.log_folder / "ros")
        try:
            self._watch(supervisor)
        finally:
            supervisor.stop()
            self._run.claim.release()
        return self._sum_up(supervisor)

    # ---- while it runs -------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: Any) -> None:
        self._signals += 1
        self._reason = self._reason or f"signal {signal.Signals(number).name}"

    def _watch(self, supervisor: Supervisor) -> None:
        import rclpy  # takes most of a second: the nodes are starting meanwhile
        from rclpy.signals import SignalHandlerOptions
        from rclpy.task import Future

        from openbms_bringup.ros.status_node import StatusNode
        from openbms_core.ros.executor import make_executor

        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        try:
            executor = make_executor()
            packs = [pack.loaded for pack in self._run.plan.packs.values()]
            self._node = StatusNode(self._run.options.namespace, packs)
            executor.add_node(self._node)
            self._status = self._node.status
            with self._shown():
                while not self._ended(supervisor):
                    executor.spin_until_future_complete(Future(), timeout_sec=_SLICE_S)
                    supervisor.poll()
                    self._look_after(supervisor)
                self._end(supervisor, executor, Future)
        finally:
            if self._node is not None:
                self._node.destroy_node()
            rclpy.try_shutdown()

    def _ended(self, supervisor: Supervisor) -> bool:
        elapsed_s = time.monotonic() - self._began_s
        duration_s = self._run.options.duration_s
        if self._signals:
            return True
        if duration_s is not None and elapsed_s >= duration_s:
            self._reason = f"{duration_s:g} s are over"
        elif self._status.test_finished:
            self._reason = "the recorded test has ended"
        elif supervisor.power_down:
            self._reason = "the key is off: ordered power-down"
        elif supervisor.refused:
            self._reason = f"{supervisor.refused} refuses its configuration"
        elif supervisor.all_ended and all(one.given_up for one in supervisor.processes):
            self._reason = "no process is left"
        return bool(self._reason)

    def _end(self, supervisor: Supervisor, executor: Any, future: Any) -> None:
        """End every process; go on listening, so that the opening of the contactors is seen."""
        self._state_at_end = (self._status.state, self._status.reason)
        self._not_running = [
            one.spec.name
            for one in supervisor.processes
            if not one.running and one.spec.name != supervisor.power_down
        ]
        if self._not_running:
            self._say(True, f"not running at the end: {', '.join(self._not_running)}; their logs say why")
        self._sample(supervisor, memory=True)
        self._say(False, f"ending: {self._reason}")
        supervisor.request_stop()
        asked = max(self._signals, 1)
        began_s = time.monotonic()
        while not supervisor.all_ended:
            executor.spin_until_future_complete(future(), timeout_sec=0.02)
            supervisor.poll()
            if self._signals > asked:
                asked += 1
                supervisor.request_stop()
        self._stop_s = time.monotonic() - began_s

    def _is_due(self, what: str, period_s: float) -> bool:
        now_s = time.monotonic()
        if now_s < self._due.get(what, 0.0):
            return False
        self._due[what] = now_s + period_s
        return True

    def _look_after(self, supervisor: Supervisor) -> None:
        now_s = time.monotonic()
        if self._startup_s is None and self._status.soc == self._status.soc:
            self._startup_s = round(now_s - self._began_s, 3)
            self._say(False, f"running after {self._startup_s:.1f} s")
        if not self._meter.begun and (self._startup_s is not None or now_s - self._began_s > _LATEST_BEGIN_S):
            self._sample(supervisor, memory=False)
            self._meter.begin(now_s)
        for what, value in (("live view", self._status.foxglove), ("bag", (self._status.bags or [None])[-1])):
            if value and self._told.get(what) != value:
                self._told[what] = value
                self._say(False, f"{what}: {short_path(value) if what == 'bag' else value}")
        if self._is_due("tell", 1.0):
            self._node.tell_processes({one.spec.name: _process_status(one) for one in supervisor.processes})
            self._sample(supervisor, memory=self._is_due("memory", _MEMORY_EVERY_S))
            if not self._warned_of_others and self._node.others_publish() > 1:
                self._warned_of_others = True
                self._say(
                    True,
                    f"Another system publishes /{self._run.options.namespace.strip('/')}/state on ROS domain "
                    f"{self._run.claim.domain}: the two mix. End it, or set another ROS_DOMAIN_ID or "
                    "--namespace.",
                )
        if self._live is not None:
            if self._is_due("live", 0.5):
                self._live.update(self._table(), refresh=True)
        elif self._is_due("line", _LINE_EVERY_S):
            self._console.print(
                one_line(self._status, now_s - self._began_s), highlight=False, soft_wrap=True
            )

    def _sample(self, supervisor: Supervisor, *, memory: bool) -> None:
        pids: dict[str, int | None] = {one.spec.name: one.pid for one in supervisor.processes}
        self._meter.sample(time.monotonic(), {**pids, _OWN: os.getpid()}, memory=memory)

    # ---- what people see -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _shown(self) -> Any:
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            self._live = live
            yield
            self._live = None

    def _table(self) -> Table:
        table = Table(
            title=f"OpenBMS  {time.monotonic() - self._began_s:.0f} s", show_header=False, min_width=70
        )
        table.add_column(style="bold")
        table.add_column()
        for label, text in rows(self._status):
            table.add_row(label, text)
        return table

    def _say(self, problem: bool, text: str) -> None:
        style = "yellow" if problem else "dim"
        self._console.print(f"openbms: {text}", style=style, markup=False, highlight=False, soft_wrap=True)

    # ---- the end -------------------------------------------------------------------------------------------

    def _sum_up(self, supervisor: Supervisor) -> int:
        status = self._status
        uses = [
            ProcessUse(
                one.spec.name,
                self._meter.cpu_percent(one.spec.name),
                self._meter.memory_mb(one.spec.name),
                one.starts,
            )
            for one in supervisor.processes
        ]
        uses.append(ProcessUse(_OWN, self._meter.cpu_percent(_OWN), self._meter.memory_mb(_OWN), 1))
        last_state = status.state
        status.state, status.reason = self._state_at_end
        content = summary(
            status,
            bag_mb=folder_mb(status.bags),
            startup_s=self._startup_s,
            elapsed_s=time.monotonic() - self._began_s,
            processes=uses,
            more={
                "ended_by": self._reason,
                "stop_s": round(self._stop_s, 3),
                "forced": supervisor.forced,
                "not_running": self._not_running,
                "ros_domain": self._run.claim.domain,
                "log_folder": str(self._run.log_folder),
                "last_state": last_state,
            },
        )
        self._print_summary(content)
        if self._run.options.summary is not None:
            write_summary(self._run.options.summary, content)
        if supervisor.refused:
            return 2
        failed = bool(supervisor.forced or self._not_running)
        if supervisor.power_down and self._run.plan.system.after_power_down:
            failed |= not self._run_on_host(self._run.plan.system.after_power_down)
        return 1 if failed else 0

    def _run_on_host(self, command: list[str]) -> bool:
        """Run the command that follows a power-down; tell whether it went well."""
        self._say(False, f"everything has ended; running: {shlex.join(command)}")
        problem = run_on_host(command)
        if problem:
            self._say(True, problem)
        return not problem

    def _print_summary(self, content: dict[str, Any]) -> None:
        status = self._status
        table = Table(title="Summary", show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for label, text in rows(status):
            if label in ("State", "SoC", "SoC error", "Test"):
                table.add_row(label, text)
        table.add_row("Scans", f"{content['scans']}, lost {content['scans_lost']}")
        table.add_row(
            "Faults seen", ", ".join(f"{k} ({v})" for k, v in content["fault_levels"].items()) or "none"
        )
        size = "–" if content["bag_mb"] is None else content["bag_mb"]
        table.add_row("Bag", f"{short_path(content['bag'])} ({size} MB)")
        table.add_row("Start, end", f"{self._startup_s or '–'} s, {content['stop_s']} s")
        for name, use in content["processes"].items():
            cpu = "–" if use["cpu_percent"] is None else f"{use['cpu_percent']} %"
            memory = "–" if use["memory_mb"] is None else f"{use['memory_mb']} MB"
            table.add_row(f"Process {name}", f"{cpu} of a core, {memory}, started {use['starts']} time(s)")
        self._console.print(table)
        if self._run.options.summary is not None:
            self._console.print(f"summary: {self._run.options.summary}", markup=False, soft_wrap=True)


def _process_status(one: Supervised) -> tuple[int, str, dict[str, str]]:
    values = {"deaths": str(len(one.deaths)), "pid": str(one.pid or "")}
    if one.deaths:
        values["last_exit"] = describe_exit(one.deaths[-1])
    if one.given_up:
        return 2, "ended and not started again", values
    if not one.running:
        return (
            2,
            f"died ({describe_exit(one.deaths[-1])}), waits for its restart" if one.deaths else "not started",
            values,
        )
    return (
        (1, f"running, was started again {len(one.deaths)} time(s)", values)
        if one.deaths
        else (0, "running", values)
    )
