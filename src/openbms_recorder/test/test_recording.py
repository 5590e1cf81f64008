"""The queue, the disk that refuses, and that nobody has to wait for either."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openbms_recorder.bag_metadata import STATE_FINISHED, STATE_KEY, BagTopic, read_metadata
from openbms_recorder.recording import Recording, RecordingSettings, RecordingStatus, bag_name
from openbms_recorder.recovery import recover, unfinished_bags

NUMBER = BagTopic("/n", "std_msgs/msg/UInt64", "uint64 data\n")
LATCHED = BagTopic("/l", "std_msgs/msg/UInt64", "uint64 data\n", latched=True)
START_NS = 1_800_000_000_000_000_000


def number(value: int) -> bytes:
    return b"\x00\x01\x00\x00" + value.to_bytes(8, "little")


class Listener:
    """Hears what a recording says, and lets a test wait for it."""

    def __init__(self) -> None:
        self.said: list[tuple[bool, str]] = []
        self._new = threading.Condition()

    def __call__(self, problem: bool, text: str) -> None:
        with self._new:
            self.said.append((problem, text))
            self._new.notify_all()

    def wait_for(self, words: str, count: int = 1, timeout_s: float = 20.0) -> None:
        with self._new:
            found = self._new.wait_for(
                lambda: sum(words in text for _, text in self.said) >= count, timeout_s
            )
        assert found, f"{words!r} was not said; heard: {self.said}"


def settings(folder: Path, **changes: Any) -> RecordingSettings:
    values: dict[str, Any] = {
        "minimum_free_mb": 0.0,
        "chunk_period_s": 0.02,
        "retry_s": 0.05,
        "serial": "S1",
        **changes,
    }
    return RecordingSettings(folder, **values)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def make(listener: Listener) -> Iterator[Callable[..., Recording]]:
    made: list[Recording] = []

    def build(chosen: RecordingSettings) -> Recording:
        recording = Recording(chosen, [NUMBER, LATCHED], now_ns=lambda: START_NS, say=listener)
        made.append(recording)
        return recording

    yield build
    for recording in made:
        recording.stop()


def until(
    recording: Recording, condition: Callable[[RecordingStatus], bool], timeout_s: float = 20.0
) -> RecordingStatus:
    """Wait on the recording's own status, which the writing thread renews each period."""
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition(recording.status()):
        assert time.monotonic() < end, recording.status()
        pause.wait(0.005)
    return recording.status()


def test_records_under_the_serial_and_the_start(tmp_path: Path, make: Any, rosbags_reader: Any) -> None:
    recording = make(settings(tmp_path / "bags"))
    recording.start()
    for value in range(100):
        recording.put("/n", number(value), START_NS + value)
    assert recording.stop()
    bag = tmp_path / "bags" / "S1_20270115T080000Z"
    assert [message.data for _, _, message in rosbags_reader(bag)] == list(range(100))
    information = read_metadata(bag)
    assert information is not None
    assert information["custom_data"] == {STATE_KEY: STATE_FINISHED}
    status = recording.status()
    assert (status.recording, status.messages, status.dropped, status.bag) == (False, 100, 0, str(bag))
    assert status.bytes_recorded == sum(path.stat().st_size for path in bag.glob("*.mcap"))


def test_two_that_start_in_the_same_second_do_not_meet(tmp_path: Path, make: Any) -> None:
    first, second = make(settings(tmp_path)), make(settings(tmp_path))
    first.start()
    until(first, lambda status: status.recording)
    second.start()
    until(second, lambda status: status.recording)
    assert first.status().bag != second.status().bag
    assert first.stop()
    assert second.stop()
    assert unfinished_bags(tmp_path) == []


def test_what_an_earlier_run_left_is_repaired_beside_the_recording(
    tmp_path: Path, make: Any, listener: Listener, rosbags_reader: Any
) -> None:
    earlier = Recording(settings(tmp_path), [NUMBER], now_ns=lambda: 0)
    earlier.start()
    earlier.put("/n", number(7), 1)
    until(earlier, lambda status: status.messages == 1 and status.bytes_recorded > 0)
    bag = Path(earlier.status().bag)
    until(earlier, lambda status: status.bytes_recorded > 150)
    copy = tmp_path / "killed"
    shutil.copytree(bag, copy)  # as it stands on the disk while it is written
    assert earlier.stop()
    recording = make(settings(tmp_path))
    recording.start()
    listener.wait_for("was left unfinished: 1 messages are readable again")
    assert [message.data for _, _, message in rosbags_reader(copy)] == [7]
    until(recording, lambda status: status.recovered == 1)


def test_beyond_the_queue_messages_are_dropped_and_counted(tmp_path: Path, make: Any) -> None:
    recording = make(settings(tmp_path, queue_mb=0.01))  # not started: nobody takes from the queue
    for value in range(1000):
        recording.put("/n", number(value), START_NS)
    recording.start()
    status = until(recording, lambda status: status.messages > 0)
    assert status.dropped > 900
    assert status.messages + status.dropped == 1000


def test_a_folder_that_cannot_be_made_is_said_and_tried_again(
    tmp_path: Path, make: Any, listener: Listener, rosbags_reader: Any
) -> None:
    obstacle = tmp_path / "bags"
    obstacle.write_text("a file where the folder should be")
    recording = make(settings(obstacle))
    recording.start()
    listener.wait_for("not recording: ")
    assert "directory" in recording.status().problem
    recording.put("/l", number(5), START_NS)
    recording.put("/n", number(6), START_NS)
    until(recording, lambda status: status.dropped == 2)
    obstacle.unlink()
    listener.wait_for("recording to ")
    recording.put("/n", number(8), START_NS + 1)
    assert recording.stop()
    # the latched message came while nothing could be written; the bag begins with it all the same
    read = rosbags_reader(Path(recording.status().bag))
    assert [(topic, message.data) for topic, _, message in read] == [("/l", 5), ("/n", 8)]


def test_the_floor_ends_the_bag_in_good_order(tmp_path: Path, make: Any, listener: Listener) -> None:
    recording = make(settings(tmp_path, minimum_free_mb=1e12))
    recording.start()
    listener.wait_for("the floor is")
    assert not recording.status().recording
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount") is not None
    mounted = (
        mounted
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("mounting a small file system needs root; the file size limit is tested without")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_the_bag_and_space_brings_a_new_one(
    small_disk: Path, make: Any, listener: Listener, rosbags_reader: Any
) -> None:
    recording = make(settings(small_disk))
    recording.start()
    listener.wait_for("recording to ")
    value = 1
    recording.put("/n", b"\x00\x01\x00\x00" + os.urandom(8192), START_NS + value)
    until(recording, lambda status: status.bytes_recorded > 8192)  # the first chunk is on the disk
    while not any("No space left" in text for _, text in listener.said):
        value += 1
        recording.put("/n", b"\x00\x01\x00\x00" + os.urandom(8192), START_NS + value)
        assert value < 100_000
    status = recording.status()
    assert not status.recording or status.dropped
    ballast = next(small_disk.glob("*/*.mcap"))
    first_bag = ballast.parent
    saved = small_disk.parent / "saved"
    shutil.copytree(first_bag, saved / first_bag.name)
    shutil.rmtree(first_bag)
    listener.wait_for("recording to ", count=2)
    recording.put("/n", number(9), START_NS + value)
    assert recording.stop()
    assert [message.data for _, _, message in rosbags_reader(Path(recording.status().bag))] == [9]
    assert recover(saved / first_bag.name).messages > 0


def test_the_floor_is_met_before_the_disk_is_full(
    small_disk: Path, make: Any, listener: Listener, rosbags_reader: Any
) -> None:
    recording = make(settings(small_disk, minimum_free_mb=0.5))
    recording.start()
    listener.wait_for("recording to ")
    value = 0
    while not any("the floor is" in text for _, text in listener.said):
        value += 1
        assert value < 200
        recording.put("/n", b"\x00\x01\x00\x00" + os.urandom(8192), START_NS + value)
        until(recording, lambda status: status.messages + status.dropped == value)  # noqa: B023
    assert unfinished_bags(small_disk) == []


_LIMITED = """
import json, resource, sys, threading, time, os
from pathlib import Path
from openbms_recorder.bag_metadata import BagTopic
from openbms_recorder.recording import Recording, RecordingSettings
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
refused = threading.Event()
again = threading.Event()
def say(problem, text):
    if "File too large" in text:
        refused.set()
    elif refused.is_set() and text.startswith("recording to"):
        again.set()
recording = Recording(
    RecordingSettings(Path(sys.argv[1]), minimum_free_mb=0.0, chunk_period_s=0.02, retry_s=0.05),
    [BagTopic("/n", "std_msgs/msg/UInt64", "uint64 data\\n")], say=say)
recording.start()
longest = 0.0
number = 0
while not refused.is_set():
    number += 1
    start = time.monotonic()
    recording.put("/n", b"\\0\\1\\0\\0" + os.urandom(2000), number)
    longest = max(longest, time.monotonic() - start)
assert again.wait(20)
recording.stop()
status = recording.status()
print(json.dumps({"longest": longest, "put": number, "messages": status.messages, "dropped": status.dropped}))
"""


def test_a_refused_write_is_survived_and_counted(tmp_path: Path, mcap_reader: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    result = json.loads(done.stdout)
    assert result["messages"] + result["dropped"] == result["put"]
    for bag in unfinished_bags(tmp_path):
        recover(bag)
    read = [raw for bag in tmp_path.iterdir() for _, _, raw in mcap_reader(bag)]
    assert len(read) >= result["messages"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{serial}_{start}", "AB-1_20270115T080000Z"),
        ("{start}", "20270115T080000Z"),
        ("../{serial}", "-AB-1"),
        ("a b/{serial}", "a-b-AB-1"),
    ],
)
def test_bag_name(pattern: str, expected: str) -> None:
    assert bag_name(pattern, "AB 1", START_NS) == expected


@pytest.mark.parametrize("pattern", ["{pack}", "{", "{0}", "", "..", "{serial.x}"])
def test_bad_bag_names_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="name: "):
        bag_name(pattern, "S", START_NS)
