"""Control units that answer diagnostic requests on a socketcand bus, by the library can-isotp.

    python isotp_ecu.py PORT CHANNEL < units.json

A process of its own. Each unit has its own identifiers and its own ways of being difficult. Prints ``ready``,
and then a line of JSON for each request that was taken in whole. It ends with the next line of its input.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Callable
from typing import Any

import can
import isotp

__all__ = ["Unit"]

_FLOW_CONTROL, _CONSECUTIVE = 3, 2


class Unit:
    """One control unit.

    Parameters
    ----------
    bus : can.BusABC
        Where it sends.
    name : str
        For what it prints.
    request_id, response_id : int
        What it hears, and what it answers with.
    answers : dict of str to str
        Answer to each request, in hexadecimal; a request that is not in it gets 7F … 31.
    wide : bool
        Identifiers of 29 bits.
    addresses : list of int or None
        Own address and the tester's: extended addressing.
    block_size, separation_ms : int
        What it asks a tester for that sends a long request.
    waits : int
        How often it asks to wait (flow status 1), 50 ms each, before it gives leave.
    pending : int
        How often it asks for patience (7F … 78), 0.3 s each, before it answers.
    session : str
        The request that must come before: without it, and ``session_s`` after the last request, 7F … 7F.
    lose : int
        The consecutive frame that never comes, counted from 1; ``lose_all``: this one and all behind it.
    silent : bool
        It hears and says nothing.
    """

    def __init__(self, bus: can.BusABC, name: str, request_id: int, response_id: int, **ways: Any) -> None:
        self._bus, self._name, self._wide = bus, name, bool(ways.get("wide"))
        self.request_id = request_id
        self._ways = ways
        self._inbox: list[isotp.CanMessage] = []
        self._later: list[tuple[float, Callable[[], Any]]] = []
        self._consecutive = 0
        self._session_until_s = -1.0
        modes, addresses = isotp.AddressingMode, ways.get("addresses")
        self._at = 1 if addresses else 0
        options: dict[str, Any] = {"txid": response_id, "rxid": request_id}
        if addresses:
            options |= {"source_address": addresses[0], "target_address": addresses[1]}
            mode = modes.Extended_29bits if self._wide else modes.Extended_11bits
        else:
            mode = modes.Normal_29bits if self._wide else modes.Normal_11bits
        self.layer = isotp.TransportLayerLogic(
            rxfn=lambda timeout: self._inbox.pop(0) if self._inbox else None,
            txfn=self._send,
            address=isotp.Address(mode, **options),
            params={
                "stmin": ways.get("separation_ms", 0), "blocksize": ways.get("block_size", 0),
                "tx_padding": 0x55,
            },
        )  # fmt: skip

    def hear(self, message: can.Message) -> None:
        """Take a frame with this unit's request identifier."""
        if message.is_extended_id == self._wide:
            self._inbox.append(
                isotp.CanMessage(message.arbitration_id, data=message.data, extended_id=self._wide)
            )

    def turn(self) -> None:
        """Go on with what is under way."""
        while self._later and self._later[0][0] <= time.monotonic():
            self._later.pop(0)[1]()
        self.layer.process(0.0)
        request = self.layer.recv()
        if request is not None:
            print(json.dumps([self._name, bytes(request).hex(), time.monotonic()]), flush=True)
            self._answer(bytes(request))

    def _answer(self, request: bytes) -> None:
        ways = self._ways
        if ways.get("silent"):
            return
        session = bytes.fromhex(ways.get("session", ""))
        now_s = time.monotonic()
        if session and request == session:
            self._session_until_s = now_s + ways["session_s"]
            self.layer.send(bytes((request[0] | 0x40,)) + request[1:] + bytes.fromhex("003201f4"))
            return
        if session and now_s > self._session_until_s:
            self.layer.send(bytes((0x7F, request[0], 0x7F)))
            return
        if session:
            self._session_until_s = now_s + ways["session_s"]
        answer = ways["answers"].get(request.hex())
        self._consecutive = 0
        plea = bytes((3, 0x7F, request[0], 0x78))
        whole = bytes.fromhex(answer) if answer else bytes((0x7F, request[0], 0x31))
        self._one_by_one(
            0.3, [lambda: self._put(plea)] * ways.get("pending", 0), lambda: self.layer.send(whole)
        )

    def _one_by_one(self, pause_s: float, first: list[Callable[[], Any]], last: Callable[[], Any]) -> None:
        now_s = time.monotonic()
        self._later += [(now_s + pause_s * number, action) for number, action in enumerate([*first, last])]

    def _send(self, message: isotp.CanMessage) -> None:
        kind = message.data[self._at] >> 4
        if kind == _FLOW_CONTROL:
            wait = bytes(message.data[: self._at]) + b"\x31\x00\x00"
            waits = [lambda: self._put(wait)] * self._ways.get("waits", 0)
            self._one_by_one(0.05, waits, lambda: self._put(bytes(message.data)))
            return
        if kind == _CONSECUTIVE:
            self._consecutive += 1
            lost = self._ways.get("lose", 0)
            if lost and (
                self._consecutive == lost or (self._ways.get("lose_all") and self._consecutive > lost)
            ):
                return
        self._put(bytes(message.data))

    def _put(self, data: bytes) -> None:
        identifier = self.layer.address.get_tx_arbitration_id()
        self._bus.send(can.Message(arbitration_id=identifier, data=data, is_extended_id=self._wide))


def main() -> None:
    """Be the units, and send a current frame every 10 ms beside it."""
    port, channel = int(sys.argv[1]), sys.argv[2]
    with can.Bus(interface="socketcand", channel=channel, host="127.0.0.1", port=port, tcp_tune=True) as bus:
        units = [Unit(bus, name, **ways) for name, ways in json.loads(sys.stdin.readline()).items()]
        print("ready", flush=True)
        counter, next_s = 0, time.monotonic()
        while not select.select([sys.stdin], [], [], 0)[0]:
            if time.monotonic() >= next_s:
                bus.send(
                    can.Message(
                        arbitration_id=0x100, data=counter.to_bytes(2, "little"), is_extended_id=False
                    )
                )
                counter, next_s = (counter + 1) % 1000, next_s + 0.01
            message = bus.recv(0.001)
            while message is not None:
                for unit in units:
                    if unit.request_id == message.arbitration_id:
                        unit.hear(message)
                message = bus.recv(0)
            for unit in units:
                unit.turn()


if __name__ == "__main__":
    main()
