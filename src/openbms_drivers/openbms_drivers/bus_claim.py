"""One driver for a pack on a bus: a second one would send commands against the first.

The claim is the name of a socket in Linux's abstract namespace: the kernel gives it back the moment its
process ends, however that was, and it holds for every user of the computer. Elsewhere nothing is claimed.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import time
from types import TracebackType

from typing_extensions import Self

__all__ = ["BusClaim"]

_LOOK_AGAIN_S = 0.05


class BusClaim:
    """The right to drive one pack on one bus.

    Parameters
    ----------
    interface, channel, host, port : str, str, str, int
        Where the bus is; host and port count for ``socketcand`` only.
    serial : str
        Serial number of the pack: several packs may share a bus, each with its driver.
    """

    def __init__(self, interface: str, channel: str, host: str, port: int, serial: str) -> None:
        where = f"{host}:{port}" if interface == "socketcand" else ""
        key = hashlib.sha256(f"{interface}|{channel}|{where}|{serial}".encode()).hexdigest()
        self._name = f"\0openbms-driver-{key}"
        # buses of python-can's "virtual" live within one process, which may hold several drivers
        self._needed = sys.platform == "linux" and interface != "virtual"
        self._socket: socket.socket | None = None

    def take(self, wait_s: float = 0.0) -> bool:
        """Take the claim; tell whether it is held now.

        Parameters
        ----------
        wait_s : float
            Another holder, who may be about to end, is waited for this long [s].
        """
        if not self._needed or self._socket is not None:
            return True
        deadline_s = time.monotonic() + wait_s
        while True:
            claimed = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                claimed.bind(self._name)
            except OSError:
                claimed.close()
                if time.monotonic() >= deadline_s:
                    return False
                time.sleep(_LOOK_AGAIN_S)
            else:
                self._socket = claimed
                return True

    def release(self) -> None:
        """Give it back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
