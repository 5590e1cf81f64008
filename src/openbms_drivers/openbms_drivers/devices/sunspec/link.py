"""One connection of Modbus TCP: whatever the other side does, an answer is whole and in time, or none.

After anything but an answer that fits, the connection is closed: a late answer can never be taken for the one
to the next question.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from openbms_core.config_file import ConfigError
from openbms_drivers.devices.sunspec.chain import LARGEST_READ, RefusedError

__all__ = ["LinkDownError", "ModbusLink", "need_pymodbus"]

_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 10.0
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target does not respond",
}

# it prints every lost connection; what matters of it is in the errors below
logging.getLogger("pymodbus.logging").addHandler(logging.NullHandler())


def need_pymodbus() -> None:
    """Refuse to go on where pymodbus is missing.

    Raises
    ------
    ConfigError
        With its cure.
    """
    if find_spec("pymodbus") is None:
        raise ConfigError(
            "pymodbus is not in this environment, without which there is no Modbus: run `make`, or "
            "`pip install pymodbus` into the environment of OpenBMS."
        )


class LinkDownError(Exception):
    """There is no connection, or it was given up: nothing is known."""


class ModbusLink:
    """A connection to one server, used by one thread.

    Parameters
    ----------
    host, port : str, int
        The server.
    timeout_s : float
        Longest wait for a connection and for an answer.
    monotonic_s : callable
        The clock [s].

    Attributes
    ----------
    connects, losses : int
        Connections made; connections lost or given up.
    last_problem : str
        Why the last one was lost; empty while it works.
    """

    def __init__(self, host: str, port: int, timeout_s: float, monotonic_s: Callable[[], float]) -> None:
        self.host, self.port = host, port
        self._timeout_s = timeout_s
        self._monotonic_s = monotonic_s
        self._client: Any = None
        self._asked = 0
        self._retry_s, self._retry_at_s = _FIRST_RETRY_S, -1.0
        self.connects = self.losses = 0
        self.last_problem = ""

    @property
    def name(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"

    def read(self, unit: int, address: int, count: int) -> list[int]:
        """Read holding registers.

        Parameters
        ----------
        unit, address, count : int
            Unit id, first register, their number (1 to 125).

        Returns
        -------
        list of int
            Exactly ``count`` registers.

        Raises
        ------
        RefusedError
            The device answered with an exception.
        LinkDownError
            No connection, no answer in time, or one that does not fit.
        """
        if not 1 <= count <= LARGEST_READ or not 0 <= address <= 0x10000 - count:
            raise RefusedError(f"registers {address} to {address + count - 1} do not exist", 2)
        answer = self._ask(lambda client: client.read_holding_registers(address, count=count, device_id=unit))
        words = getattr(answer, "registers", None)
        if not isinstance(words, list) or len(words) != count:
            got = len(words) if isinstance(words, list) else "no"
            raise self._lost(f"unit {unit} answered {got} registers where {count} were asked for")
        return words

    def write(self, unit: int, address: int, words: Sequence[int]) -> None:
        """Write holding registers in one request (function 16).

        Raises
        ------
        RefusedError
            The device answered with an exception.
        LinkDownError
            It is not known whether they were written.
        """
        answer = self._ask(lambda client: client.write_registers(address, list(words), device_id=unit))
        if (getattr(answer, "address", None), getattr(answer, "count", None)) != (address, len(words)):
            raise self._lost(f"unit {unit} confirmed another write than that to {address}")

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        client = self._connected()
        self._asked += 1
        try:
            answer = question(client)
        except Exception as error:  # whatever a decoder of foreign bytes may raise
            raise self._lost(_sentence(error)) from error
        if answer is None:
            raise self._lost("no answer")
        if answer.isError():
            code = int(getattr(answer, "exception_code", 0))
            # the device is there and spoke: the connection is good
            raise RefusedError(f"exception {code}, {_EXCEPTIONS.get(code, 'not of the standard')}", code)
        self.last_problem = ""
        return answer

    def _connected(self) -> Any:
        if self._client is not None:
            return self._client
        if self._monotonic_s() < self._retry_at_s:
            raise LinkDownError(self.last_problem)
        # imported where it is used: a system without a site does not pay for it
        from pymodbus.client import ModbusTcpClient

        # no retries: it would ask again while the first answer is still under way
        client: Any = ModbusTcpClient(self.host, port=self.port, timeout=self._timeout_s, retries=0)
        # every connection would count its questions from 1, and a gateway that kept the answer to question 1
        # of the one before would be believed
        client.transaction.next_tid = self._asked % 64000
        try:
            connected = client.connect()
        except Exception as error:  # a host name that no encoding takes, for one
            raise self._not_connected(_sentence(error)) from error
        self._client = client
        if not connected:
            raise self._not_connected("no connection. Is it on, the address right, Modbus TCP switched on?")
        self._retry_s = _FIRST_RETRY_S
        self.connects += 1
        return client

    def _lost(self, text: str) -> LinkDownError:
        self.close()
        self.losses += 1
        self.last_problem = f"{self.name}: {text}"
        return LinkDownError(self.last_problem)

    def _not_connected(self, text: str) -> LinkDownError:
        # only here: a unit that does not answer must not keep the others on this connection waiting
        self._retry_at_s = self._monotonic_s() + self._retry_s
        self._retry_s = min(2.0 * self._retry_s, _LAST_RETRY_S)
        return self._lost(text)


def _sentence(error: Exception) -> str:
    text = str(error)
    if "No response" in text:
        return "no answer in time"
    if "unexpectedly closed" in text:
        return "the other side closed the connection"
    return f"{type(error).__name__}: {text}".splitlines()[0][:160]
