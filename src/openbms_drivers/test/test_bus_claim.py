"""One driver for a pack on a bus, also between processes, and free again however its holder ended."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid

import pytest

from openbms_drivers.bus_claim import BusClaim

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="claimed on Linux only")


def claim(channel: str, interface: str = "socketcan", port: int = 1, serial: str = "S") -> BusClaim:
    return BusClaim(interface, channel, "127.0.0.1", port, serial)


@pytest.fixture
def channel() -> str:
    return uuid.uuid4().hex


def test_a_second_driver_is_refused_until_the_first_ends(channel: str) -> None:
    with claim(channel) as first, claim(channel) as second:
        assert first.take() and first.take(), "held already"
        assert not second.take()
        first.release()
        assert second.take()


def test_others_are_not_in_the_way(channel: str) -> None:
    with claim(channel) as first:
        assert first.take()
        for other in (
            claim(channel, serial="T"),
            claim(channel + "x"),
            claim(channel, interface="socketcand"),
            claim(channel, interface="virtual"),
        ):
            with other:
                assert other.take()
    with claim(channel, "socketcand", port=1) as one, claim(channel, "socketcand", port=2) as two:
        assert one.take() and two.take()
    with claim(channel, "virtual") as one, claim(channel, "virtual") as two:
        assert one.take() and two.take(), "one process, several drivers"


def test_one_that_is_about_to_end_is_waited_for(channel: str) -> None:
    first, second = claim(channel), claim(channel)
    assert first.take()
    began_s = time.monotonic()
    assert not second.take(wait_s=0.2)
    assert time.monotonic() - began_s >= 0.2
    threading.Timer(0.2, first.release).start()
    assert second.take(wait_s=10.0)
    second.release()


def test_it_is_free_again_after_a_kill(channel: str) -> None:
    code = (
        "import sys, signal; from openbms_drivers.bus_claim import BusClaim\n"
        "held = BusClaim('socketcan', sys.argv[1], '127.0.0.1', 1, 'S'); print(held.take(), flush=True)\n"
        "signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code, channel], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "True\n"
        with claim(channel) as mine:
            assert not mine.take()
            other.kill()
            other.wait()
            assert mine.take(), "the kernel gives it back at once"
