"""What a fail-safe process is granted, for real where this machine permits it, and what it says where not."""

from __future__ import annotations

import gc
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Process, free_domain

pytest.importorskip("rclpy")

from openbms_core.config_file import ConfigError
from openbms_core.ros import real_time
from openbms_core.ros.real_time import RealTimeOptions, parse_processors

NODE = """
import threading
from openbms_core.ros.node_base import BmsNode, run_nodes

class FailSafe(BmsNode):
    fail_safe = True
    def __init__(self, **kw):
        super().__init__("fail_safe", **kw)
    def configure(self):
        self.turns = 0
        self.every(0.02, self.tick)
    def activate(self):
        # as the driver does: a thread that is there before anything is asked for
        threading.Thread(target=threading.Event().wait, name="bus", daemon=True).start()
    def tick(self):
        self.dealt_with_scan()
        self.turns += 1
        if self.turns == 20:
            threading.Thread(target=threading.Event().wait, name="later", daemon=True).start()
        if self.turns == 30:
            status = [(s.name, s.level[0], s.message) for s in self.real_time_status]
            print("status", status, flush=True)

run_nodes([FailSafe])
"""
WITHOUT_RIGHTS = """
import ctypes, resource, struct
# without the two capabilities, and with the limits of an ordinary user
libc = ctypes.CDLL(None, use_errno=True)
header, data = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
libc.capget(header, data)
kept = [word & ~(1 << 23 | 1 << 14) if n < 2 else word for n, word in enumerate(struct.unpack("6I", data))]
if libc.capset(header, struct.pack("6I", *kept)) != 0:
    raise OSError(ctypes.get_errno(), "capset")
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
resource.setrlimit(resource.RLIMIT_MEMLOCK, (8192 * 1024, 8192 * 1024))
"""


def permitted() -> bool:
    """Try in a child, so that this process stays as it is."""
    child = os.fork()
    if child == 0:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    running: list[Process] = []

    def begin(before: str = "", **parameters: str) -> Process:
        script = tmp_path / "node.py"
        script.write_text("import os\n" + textwrap.dedent(before) + NODE)
        given = [text for name, value in parameters.items() for text in ("-p", f"{name}:={value}")]
        process = Process(
            ["python", str(script), "--ros-args", *given],
            {"ROS_DOMAIN_ID": str(free_domain()), "ROS_LOG_DIR": str(tmp_path)},
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.__exit__()


def threads_of(process: Process) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{process.process.pid}/task").iterdir()]


@pytest.mark.skipif(not permitted(), reason="SCHED_FIFO is not permitted here")
def test_every_thread_gets_the_priority_and_the_processor_also_those_that_come_later(
    start: Callable[..., Process],
) -> None:
    processor = max(os.sched_getaffinity(0))
    node = start(real_time_priority="7", cpu_affinity=f"'{processor}'", lock_memory="true")
    said = node.wait_for("status")
    assert "SCHED_FIFO priority 7 on all" in said and f"processor {processor}" in said
    assert "memory locked" in said and ", 0, " in said
    threads = threads_of(node)
    assert len(threads) > 5, "those of the middleware too"
    for thread in threads:
        assert os.sched_getscheduler(thread) == os.SCHED_FIFO
        assert os.sched_getparam(thread).sched_priority == 7
        assert os.sched_getaffinity(thread) == {processor}
    locked = next(
        line
        for line in Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
        if line.startswith("VmLck")
    )
    assert int(locked.split()[1]) > 10_000, "more than the limit of an ordinary user would hold"
    assert node.interrupt(10) == 0


def test_what_is_not_permitted_is_said_with_its_cure_and_the_node_runs(start: Callable[..., Process]) -> None:
    node = start(WITHOUT_RIGHTS, real_time_priority="7", lock_memory="true", cpu_affinity="'4000'")
    said = node.wait_for("status")
    assert "SCHED_FIFO priority 7 is not permitted" in said
    assert "locking memory is not permitted (limit 8192 kB)" in said
    assert "rtprio 49" in said and "memlock unlimited" in said and "LimitRTPRIO=49" in said
    assert "processor 4000 cannot be had" in said and "Correct cpu_affinity" in said
    assert ", 1, " in said, "a warning"
    assert all(os.sched_getscheduler(thread) == os.SCHED_OTHER for thread in threads_of(node))
    assert any("[WARN]" in line and "SCHED_FIFO" in line for line in node.lines), "and once in the log"
    assert node.interrupt(10) == 0


def test_nothing_is_asked_for_by_default(start: Callable[..., Process]) -> None:
    node = start()
    said = node.wait_for("status")
    assert "garbage is collected when idle" in said and ", 0, " in said
    assert all(os.sched_getscheduler(thread) == os.SCHED_OTHER for thread in threads_of(node))
    assert node.interrupt(10) == 0


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ({"real_time_priority": "60"}, "real_time_priority is 60: it must be 1 … 49"),
        ({"real_time_priority": "-1"}, "real_time_priority is -1"),
        ({"cpu_affinity": "'0,x'"}, "cpu_affinity is '0,x': give processors such as '1' or '0,2-3'"),
    ],
)
def test_what_cannot_be_is_refused(
    start: Callable[..., Process], parameter: dict[str, str], said: str
) -> None:
    node = start(**parameter)
    assert node.wait(20) == 2
    assert said in node.output
    assert "fail_safe: parameter" in node.output


@pytest.mark.parametrize(
    ("text", "expected"), [("", set()), ("1", {1}), ("0,2-3", {0, 2, 3}), (" 5 , 5 ", {5}), ("3-3", {3})]
)
def test_lists_of_processors(text: str, expected: set[int]) -> None:
    assert parse_processors(text) == expected


@pytest.mark.parametrize("text", ["a", "3-1", "1-", "-1", "1;2", "99999"])
def test_what_is_no_list_of_processors(text: str) -> None:
    with pytest.raises(ConfigError, match="cpu_affinity is"):
        parse_processors(text)


def test_nodes_of_one_process_share_what_they_ask_for() -> None:
    one = RealTimeOptions(10, frozenset({0}), lock_memory=False, collect_in_idle=True)
    other = RealTimeOptions(20, frozenset({1}), lock_memory=True, collect_in_idle=False)
    assert one.joined(other) == RealTimeOptions(
        20, frozenset({0, 1}), lock_memory=True, collect_in_idle=False
    )
    anywhere = RealTimeOptions()
    assert one.joined(anywhere).processors == frozenset(), "who may run anywhere is not bound by the other"


def test_garbage_is_collected_when_told_and_only_then() -> None:
    """A cycle stays until a turn whose number asks for its generation."""
    interval = sys.getswitchinterval()
    try:
        granted = real_time.apply(RealTimeOptions())
        assert granted.in_force == ("garbage is collected when idle",) and not granted.refused
        assert not gc.isenabled()
        for turn, collected in ((1, False), (10, True)):
            cycle = Cycle()
            Cycle.gone = False
            del cycle
            real_time.tidy(turn)
            assert Cycle.gone == collected
        gc.enable()
        cycle = Cycle()
        Cycle.gone = False
        del cycle
        real_time.tidy(10)
        assert not Cycle.gone, "where Python collects by itself it is left to it"
    finally:
        gc.enable()
        sys.setswitchinterval(interval)


class Cycle:
    """Refers to itself, so that only the collector ends it."""

    gone = False

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        Cycle.gone = True
