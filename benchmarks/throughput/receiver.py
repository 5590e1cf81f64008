"""The driver's process of the throughput benchmark: the real BusLoop, counting.

Run by can_throughput.py. Prints ``ready``, is told how many frames of the pack were sent, waits for them, and
prints what it counted as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

from openbms_core.pack import load_pack
from openbms_drivers.bus import Bus
from openbms_drivers.bus_loop import BusLoop
from openbms_drivers.pack_driver import PackDriver

__all__ = ["Receiver"]

QUIET_S = 5.0
"""A frame that has not come by then is lost: a machine that computes something else may stand for long."""


class Receiver:
    """A driver on a bus, and what it costs."""

    def __init__(self, pack: str, bus: Bus) -> None:
        self.driver = PackDriver(load_pack(pack), "bench")
        self.scans = 0
        self.oldest_s = 0.0
        self._settled = 3
        self.loop = BusLoop(
            self.driver, bus, monotonic_s=time.monotonic, stamp_s=time.time, wall_s=time.time,
            on_scan=self._on_scan,
        )  # fmt: skip
        self.loop.start()
        while not bus.is_open:
            time.sleep(0.001)
        thread = self.loop._thread
        assert thread is not None and thread.ident is not None
        self._clock = time.pthread_getcpuclockid(thread.ident)
        self._began_s = time.clock_gettime(self._clock)

    def _on_scan(self, scan: Any, *_: Any) -> None:
        self.scans += 1
        if scan.string_current_validity[0] == 0:
            self.oldest_s = max(self.oldest_s, time.time() - scan.stamp_s)

    def received(self) -> int:
        """Frames of the pack so far."""
        return self.driver.decoder.totals()[0]

    def finish(self, expected: int) -> dict[str, Any]:
        """Wait until everything has come, or nothing for a long time; end, and give the figures."""
        last, came_s = self.received(), time.monotonic()
        cpu_s = time.clock_gettime(self._clock) - self._began_s
        while last < expected and time.monotonic() - came_s < QUIET_S:
            time.sleep(0.01)
            if (now := self.received()) != last:
                last, came_s = now, time.monotonic()
                cpu_s = time.clock_gettime(self._clock) - self._began_s
        self.loop.stop()
        if self.loop.failure is not None:
            raise self.loop.failure
        received, rejected = self.driver.decoder.totals()
        return {
            "received": received, "rejected": rejected, "cpu_s": cpu_s, "scans": self.scans,
            "oldest_s": self.oldest_s,
        }  # fmt: skip


def over_unix_socket(descriptor: int) -> None:
    """Let python-can's socketcan read a Unix socket in place of one of the kernel's CAN."""
    from can.interfaces.socketcan import socketcan

    end = socket.socket(fileno=descriptor)
    socketcan.create_socket = lambda: end
    socketcan.bind_socket = lambda *_: None
    socketcan.log.setLevel("CRITICAL")  # options of CAN sockets that a Unix socket has not


def main() -> None:
    """Receive until the input ends."""
    pack, link, where, fd = sys.argv[1:5]
    if link == "unix":
        over_unix_socket(int(where))
        bus = Bus("socketcan", "bench", fd=fd == "fd")
    elif link == "socketcand":
        bus = Bus("socketcand", "can0", "127.0.0.1", int(where))
    else:
        bus = Bus("socketcan", where, fd=fd == "fd")
    receiver = Receiver(pack, bus)
    print("ready", flush=True)
    print(json.dumps(receiver.finish(int(sys.stdin.read()))), flush=True)


if __name__ == "__main__":
    main()
