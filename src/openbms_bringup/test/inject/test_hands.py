"""What is done to processes, processor and disk, and that it is taken back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes import wait_until

pytest.importorskip("rclpy")

from openbms_bringup.inject.case import Host, Process, Record
from openbms_bringup.inject.disk import FullDisk
from openbms_bringup.inject.hands import Hands
from openbms_bringup.inject.processes import find_process, process_of
from openbms_core.config_file import ConfigError

DOMAIN = 200 + os.getpid() % 30
"""No system runs here: the processes of these tests only look like one."""
WRITER = """
import sys, time
while True:
    try:
        with open(sys.argv[1], "a") as log:
            log.write("x" * 10)
        with open(sys.argv[1] + ".done", "w"):
            pass
    except OSError as error:
        sys.stdout.write(f"{error.errno}\\n")
        sys.stdout.flush()
    time.sleep(0.01)
"""


class FakeSystem:
    """Only what the hands ask of a system."""

    namespace, domain = "bms", DOMAIN

    def __init__(self, folder: Path) -> None:
        self.record = folder / "faults.json"

    def parameter(self, node: str, name: str) -> str:
        return str(self.record)


def pretend(code: str, *arguments: str, process: str = "safety", namespace: str = "/bms") -> subprocess.Popen:
    """Start a process with the command line of a node group."""
    words = ["node_group", "--process", process, "--ros-args", "-r", f"__ns:={namespace}"]
    # the words a starter gives stand in front, as `python -m openbms_bringup.ros.node_group …` shows them
    script = f"import sys; sys.argv[1:] = sys.argv[1:][{len(words)}:]\n" + code
    command = [sys.executable, "-c", script, *words, *arguments]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def idle() -> Iterator[subprocess.Popen]:
    process = pretend("import time\nprint('up', flush=True)\ntime.sleep(60)")
    assert process.stdout is not None and process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def found() -> psutil.Process:
    return find_process("safety", "bms", DOMAIN)


def test_a_process_is_found_by_name_namespace_and_domain(idle) -> None:
    assert found().pid == idle.pid and find_process("safety", "/bms", DOMAIN).pid == idle.pid
    for name, namespace, domain in (
        ("driver", "bms", DOMAIN),
        ("safety", "other", DOMAIN),
        ("safety", "bms", 5),
    ):
        with pytest.raises(ConfigError, match="is found on this computer"):
            find_process(name, namespace, domain)


@pytest.mark.parametrize(
    ("command", "started"),
    [
        # openbms run and the tests
        ("python -m openbms_bringup.ros.node_group --system s.yaml --process safety --ros-args -r __ns:=/bms",
         ("safety", "bms")),
        # ros2 launch
        ("/usr/bin/python3 /ws/install/openbms_bringup/lib/openbms_bringup/node_group --system s.yaml "
         "--process driver --stop-with-parent 9 --parent 7 --ros-args --log-level info -r __ns:=/truck/bms "
         "--params-file p.yaml", ("driver", "truck/bms")),
        ("python -m openbms_bringup.ros.node_group --process sim", ("sim", "")),
        ("python -m openbms_bringup.inject.helper stop 5", None),
        ("vim src/openbms_bringup/ros/node_group.py", None),
        ("grep --process safety", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_command_line_tells_which_process_it_starts(command: str, started: tuple[str, str] | None) -> None:
    assert process_of(command.split()) == started


def test_two_of_one_name_are_refused(idle) -> None:
    second = pretend("import time\nprint('up', flush=True)\ntime.sleep(60)")
    assert second.stdout is not None and second.stdout.readline()
    try:
        with pytest.raises(ConfigError, match="2 processes 'safety'"):
            found()
    finally:
        second.kill()
        second.wait()


def test_kill_stop_and_slow(idle, tmp_path: Path) -> None:
    said: list[str] = []
    hands = Hands(FakeSystem(tmp_path), said.append)
    stop = hands.do(Process(process="safety", do="stop"))
    wait_until(lambda: psutil.Process(idle.pid).status() == psutil.STATUS_STOPPED, 5, "it stands")
    stop()
    wait_until(lambda: psutil.Process(idle.pid).status() != psutil.STATUS_STOPPED, 5, "it goes on")
    hands.do(Process(process="safety", do="slow", share=0.2, period_s=0.05))
    seen = set()
    wait_until(
        lambda: seen.add(psutil.Process(idle.pid).status()) or len(seen) > 1, 10, "stopped and going by turns"
    )
    hands.release()
    wait_until(lambda: psutil.Process(idle.pid).status() != psutil.STATUS_STOPPED, 5, "it goes on")
    hands.do(Process(process="safety", do="kill"))
    assert idle.wait(5) == -signal.SIGKILL
    assert len(said) == 3 and "SIGKILL" in said[-1]


def test_a_stopped_process_goes_on_when_the_injector_is_killed(idle) -> None:
    injector = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "helper = [sys.executable, '-m', 'openbms_bringup.inject.helper', 'stop', sys.argv[1]]\n"
            "p = subprocess.Popen(helper, stdin=subprocess.PIPE)\n"
            "time.sleep(60)",
            str(idle.pid),
        ]
    )
    wait_until(lambda: psutil.Process(idle.pid).status() == psutil.STATUS_STOPPED, 10, "it is stopped")
    injector.kill()
    injector.wait()
    wait_until(lambda: psutil.Process(idle.pid).status() != psutil.STATUS_STOPPED, 5, "it goes on")


def test_the_processor_is_busy_and_comes_to_rest(tmp_path: Path) -> None:
    hands = Hands(FakeSystem(tmp_path))
    before = {child.pid for child in psutil.Process().children()}
    rest = hands.do(Host(host="cpu_hog", processes=2))
    hogs = [child for child in psutil.Process().children() if child.pid not in before]
    assert len(hogs) == 2
    wait_until(lambda: all(hog.cpu_times().user > 0.3 for hog in hogs), 20, "they are busy")
    rest()
    rest()
    assert not any(hog.is_running() and hog.status() != psutil.STATUS_ZOMBIE for hog in hogs)


def test_a_full_disk_by_the_limit_on_the_size_of_files(tmp_path: Path) -> None:
    target = tmp_path / "log"
    writer = pretend(WRITER, str(target))
    try:
        wait_until(lambda: (tmp_path / "log.done").exists(), 5, "it writes")
        disk = FullDisk(found(), tmp_path)
        assert "EFBIG" in disk.how and "not really full" in disk.how
        assert writer.stdout is not None and writer.stdout.readline().strip() == "27"
        size = target.stat().st_size
        disk.close()
        wait_until(lambda: target.stat().st_size > size + 20, 5, "it writes again")
        disk.close()
    finally:
        writer.kill()
        writer.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system is mounted by root only")
def test_a_full_disk_where_the_file_system_is_small(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    writer = pretend(WRITER, str(small / "log"))
    try:
        wait_until(lambda: (small / "log.done").exists(), 5, "it writes")
        disk = FullDisk(found(), small)
        assert "ENOSPC" in disk.how
        assert writer.stdout is not None and writer.stdout.readline().strip() == "28"
        disk.close()
        size = (small / "log").stat().st_size
        wait_until(lambda: (small / "log").stat().st_size > size, 5, "it writes again")
    finally:
        writer.kill()
        writer.wait()
        subprocess.run(["umount", str(small)], check=False)


def test_a_record_is_spoilt_or_said_not_to_be_there(tmp_path: Path) -> None:
    system = FakeSystem(tmp_path)
    hands = Hands(system)
    with pytest.raises(ConfigError, match="fault record of this system is not found"):
        hands.do(Record(record="corrupt"))
    system.record.write_text('{"serial": "X", "faults": {}}')
    hands.do(Record(record="corrupt"))
    assert system.record.read_bytes().endswith(b"\0\xff")


def test_a_clock_of_its_own_steps_for_those_who_have_it(tmp_path: Path) -> None:
    from openbms_bringup.inject.own_clock import OwnClock

    clock = OwnClock(tmp_path)
    code = (
        "import time, datetime, sys\n"
        "for _ in sys.stdin:\n"
        "    print(time.time(), datetime.datetime.now().timestamp(), time.monotonic(), flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None and child.stdout is not None

    def differences() -> list[float]:
        child.stdin.write("\n")
        child.stdin.flush()
        told = [float(word) for word in child.stdout.readline().split()]
        return [told[0] - time.time(), told[1] - time.time(), told[2] - time.monotonic()]

    try:
        assert differences() == pytest.approx([0.0, 0.0, 0.0], abs=0.5)
        for step_s, sum_s in ((3600.25, 3600.25), (-7200.5, -3600.25), (3600.25, 0.0)):
            clock.step(step_s)
            assert differences() == pytest.approx([sum_s, sum_s, 0.0], abs=0.2)
    finally:
        child.kill()
        child.wait()
