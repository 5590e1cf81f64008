"""The supervisor over real processes: restart, end in order, by force where needed, and nobody left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openbms_bringup.supervisor import ProcessSpec, Supervisor, describe_exit
from openbms_bringup.system import Restart

QUICK = Restart(first_delay_s=0.01, longest_delay_s=0.02)
POLITE = "import signal; signal.signal(2, lambda *_: exit(0)); print('up', flush=True); signal.pause()"
DEAF = (
    "import signal; signal.signal(2, signal.SIG_IGN); signal.signal(15, signal.SIG_IGN)\n"
    "print('up', flush=True)\nwhile True: signal.pause()"
)


def spec(name: str, code: str, **more: object) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-c", code], **{"restart": QUICK, **more})


class Run:
    """A supervisor that is polled until something is true; what it says is kept."""

    def __init__(self, folder: Path, *specs: ProcessSpec, deadline_s: float = 5.0) -> None:
        self.said: list[str] = []
        self.supervisor = Supervisor(specs, folder, deadline_s, lambda _, text: self.said.append(text))
        self.supervisor.start()

    def until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.said
            self.supervisor.poll()
            threading.Event().wait(0.01)

    def up(self) -> bool:
        return all("up" in one.log_path.read_text() for one in self.supervisor.processes)


@pytest.fixture
def run(tmp_path: Path):
    made: list[Run] = []

    def make(*specs: ProcessSpec, **more: float) -> Run:
        made.append(Run(tmp_path, *specs, **more))
        return made[-1]

    yield make
    for one in made:
        for process in one.supervisor.processes:
            process.signal(signal.SIGKILL)
            if process.process is not None:
                process.process.wait()
        one.supervisor.close()


def test_orderly_end(run) -> None:
    it = run(spec("a", POLITE), spec("b", POLITE))
    it.until(it.up)
    it.supervisor.stop()
    assert it.supervisor.all_ended
    assert it.supervisor.forced == []
    assert [one.process.returncode for one in it.supervisor.processes] == [0, 0]


def test_a_dead_process_is_started_again_and_the_others_go_on(run) -> None:
    it = run(spec("critical", POLITE, critical=True), spec("data", POLITE))
    it.until(it.up)
    critical, data = it.supervisor.processes
    first = critical.pid
    os.kill(data.pid, signal.SIGKILL)
    it.until(lambda: data.starts == 2)
    assert critical.pid == first
    assert data.deaths == [-signal.SIGKILL]
    assert any("data died (signal SIGKILL)" in text for text in it.said)
    assert "data: started again" in it.said


def test_waiting_times_grow_while_it_keeps_dying(run) -> None:
    it = run(spec("bad", "raise SystemExit(1)", restart=Restart(first_delay_s=0.01, longest_delay_s=0.04)))
    it.until(lambda: len(it.supervisor.processes[0].deaths) >= 4)
    delays = [text.split("again in ")[1].split(" s")[0] for text in it.said if "died" in text]
    assert delays[:4] == ["0.01", "0.02", "0.04", "0.04"]


def test_a_refused_configuration_is_not_tried_again(run) -> None:
    it = run(
        spec("driver", "print('openbms: wrong pack', flush=True); raise SystemExit(2)", critical=True),
        spec("ui", "raise SystemExit(2)"),
    )
    it.until(lambda: it.supervisor.all_ended)
    assert it.supervisor.refused == "driver"
    assert all(one.given_up and one.starts == 1 for one in it.supervisor.processes)
    assert "driver: openbms: wrong pack" in it.said


def test_a_process_that_asks_for_the_end_is_not_started_again(run) -> None:
    it = run(spec("bms", "raise SystemExit(10)"), spec("data", POLITE))
    bms, data = it.supervisor.processes
    # An interrupt that meets a starting interpreter is answered by a traceback of the interpreter's own.
    it.until(lambda: it.supervisor.power_down == "bms" and "up" in data.log_path.read_text())
    assert data.running, "ending the others in order is up to the loop"
    it.supervisor.stop()
    assert bms.starts == 1 and bms.deaths == []
    assert it.supervisor.forced == [] and it.said == []


def test_who_does_not_end_is_terminated_then_killed_and_named(run) -> None:
    it = run(spec("deaf", DEAF), spec("polite", POLITE), deadline_s=0.2)
    it.until(it.up)
    it.supervisor.stop()
    assert it.supervisor.forced == ["deaf (SIGKILL)"]
    assert it.supervisor.all_ended


def test_asked_again_it_does_not_wait(run) -> None:
    it = run(spec("deaf", DEAF), deadline_s=60.0)
    it.until(it.up)
    for _ in range(3):
        it.supervisor.request_stop()
    it.until(lambda: it.supervisor.all_ended)
    assert it.supervisor.forced == ["deaf (SIGKILL)"]


def test_nothing_is_started_again_while_ending(run) -> None:
    it = run(spec("a", "raise SystemExit(1)", restart=Restart(first_delay_s=0.5)))
    it.until(lambda: bool(it.supervisor.processes[0].deaths))
    it.supervisor.stop()
    assert it.supervisor.processes[0].starts == 1


def test_each_process_has_a_session_of_its_own(run) -> None:
    it = run(spec("a", POLITE))
    it.until(it.up)
    pid = it.supervisor.processes[0].pid
    assert os.getsid(pid) == pid != os.getsid(0)
    it.supervisor.stop()


def test_kill_of_the_supervisor_leaves_nobody(tmp_path: Path) -> None:
    child = (
        "import signal\n"
        "from openbms_bringup.parent_watch import stop_with_parent\n"
        "signal.signal(2, lambda *_: (print('orderly', flush=True), exit(0)))\n"
        "stop_with_parent(5.0)\nprint('up', flush=True)\nwhile True: signal.pause()"
    )
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from openbms_bringup.supervisor import ProcessSpec, Supervisor\n"
        f"spec = ProcessSpec('a', [sys.executable, '-c', {child!r}])\n"
        f"it = Supervisor([spec], Path({str(tmp_path)!r}), 5.0, print)\nit.start()\n"
        "print(it.processes[0].pid, flush=True)\ntime.sleep(60)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    log = tmp_path / "a.log"
    wait_until(lambda: log.exists() and "up" in log.read_text())
    supervisor.kill()
    supervisor.communicate()
    wait_until(lambda: not alive(pid))
    assert "orderly" in log.read_text()


def test_a_child_that_hangs_after_its_parent_is_gone_is_ended_by_the_kernel() -> None:
    code = (
        "import os, signal\nfrom openbms_bringup.parent_watch import stop_with_parent\n"
        "signal.signal(2, signal.SIG_IGN)\n"
        "stop_with_parent(0.2, parent=0x3FFFFFFF)\nwhile True: signal.pause()"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20).returncode == -signal.SIGALRM


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.mark.parametrize(("code", "text"), [(0, "exit code 0"), (-9, "signal SIGKILL"), (-200, "signal 200")])
def test_exit_codes_in_words(code: int, text: str) -> None:
    assert describe_exit(code) == text
