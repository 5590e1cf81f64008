"""Values that a device gives only when it is asked, in the pack file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from openbms_core.config_file import Integer, Number, Positive, StrictModel

__all__ = ["FlowControl", "Poll", "check_polls"]

Name = Annotated[str, Field(min_length=1)]
_Byte = Annotated[Integer, Field(ge=0, le=255)]
_Identifier = Annotated[Integer, Field(ge=0, le=0x1FFFFFFF)]
_LONGEST_REQUEST = 255
_REPEATED = {0x01: 1, 0x09: 1, 0x19: 1, 0x21: 1, 0x22: 2, 0x23: 0, 0x24: 2, 0x2F: 2, 0x31: 3}
"""How many bytes behind the service a positive answer repeats (ISO 14229-1, ISO 15031-5, ISO 14230-3): the
identifier, of several the first; the address of 0x23 not at all."""
_LONGEST_BEGINNING = 5
"""What the first frame of a long answer has room for, with any addressing."""


class FlowControl(StrictModel):
    """What the device is told about how fast it may send a long answer (ISO 15765-2, flow control)."""

    block_size: _Byte = 0
    """After so many frames it waits for leave to go on; 0: never."""
    separation_time_s: Annotated[Number, Field(ge=0, le=0.127)] = 0.0
    """Least time between two frames of an answer."""


class Poll(StrictModel):
    """A value that the device gives only when it is asked (UDS or KWP2000 over ISO-TP).

    The whole answer, from its first byte on, is decoded as ``message`` of the DBC. That message needs an
    identifier that no frame on the bus has, and may be longer than a frame.
    """

    name: Name
    request_id: _Identifier
    response_id: _Identifier
    extended_identifiers: bool = False
    """Both identifiers have 29 bits."""
    addressing: Literal["normal", "extended", "mixed"] = "normal"
    """``extended``: the first byte of each frame is an address, ``mixed``: an address extension."""
    target_address: _Byte | None = None
    """First byte of what is sent, where ``addressing`` is ``extended``."""
    source_address: _Byte | None = None
    """First byte of what comes, where ``addressing`` is ``extended``."""
    address_extension: _Byte | None = None
    """First byte of all frames, where ``addressing`` is ``mixed``."""
    request: Name
    """What is asked, in hexadecimal, with service: ``"21 02"``."""
    session: str | None = None
    """The request that opens the diagnostic session in which the device answers, such as ``"10 03"``; sent
    before, wherever the device may have left the session since. Absent: it answers in any."""
    answer: str | None = None
    """How a positive answer begins, in hexadecimal; absent: the service + 0x40, then what it repeats of the
    request (the first identifier)."""
    length_bytes: Annotated[Integer, Field(ge=1, le=4095)] | None = None
    """Length of the answer: one of another length is refused. Absent: at least that of the message."""
    message: Name
    """Message of the DBC as which the answer is decoded."""
    period_s: Annotated[Number, Field(ge=0.02)]
    timeout_s: Positive = 1.0
    """Within this time the answer begins, and each further frame of it follows."""
    pending_timeout_s: Positive = 5.0
    """The same after the device has asked for patience (negative response 0x78)."""
    duration_max_s: Positive = 10.0
    """After this time it is given up, whatever comes: another poll has its turn."""
    pause_s: Annotated[Number, Field(ge=0, le=10)] = 0.01
    """Time between the end of the answer and the next request to the same identifier."""
    padding: _Byte | None = 0x00
    """Frames that are sent are filled up to 8 bytes with this; null: they are not."""
    can_fd: bool = False
    """Frames that are sent are CAN FD (up to 64 bytes)."""
    flow_control: FlowControl = FlowControl()

    @property
    def request_bytes(self) -> bytes:
        """What is asked."""
        return bytes.fromhex(self.request)

    @property
    def session_bytes(self) -> bytes:
        """What opens the session; empty where none is needed."""
        return bytes.fromhex(self.session or "")

    @property
    def answer_bytes(self) -> bytes:
        """How a positive answer begins."""
        if self.answer is not None:
            return bytes.fromhex(self.answer)
        asked = self.request_bytes
        repeated = 1 + _REPEATED.get(asked[0], _LONGEST_BEGINNING)
        return (bytes((asked[0] | 0x40,)) + asked[1:repeated])[:_LONGEST_BEGINNING]

    @property
    def prefixes(self) -> tuple[bytes, bytes]:
        """Give the bytes that stand before everything that is sent, and that comes."""
        if self.addressing == "mixed" and self.address_extension is not None:
            return bytes((self.address_extension,)), bytes((self.address_extension,))
        if self.target_address is not None and self.source_address is not None:
            return bytes((self.target_address,)), bytes((self.source_address,))
        return b"", b""

    @property
    def connection(self) -> tuple[object, ...]:
        """All that says over which connection this poll goes; two with the same one take turns."""
        return (
            self.request_id, self.response_id, self.extended_identifiers, self.prefixes, self.padding,
            self.can_fd, self.flow_control,
        )  # fmt: skip

    @model_validator(mode="after")
    def _fits(self) -> Poll:
        given = {
            name for name in ("target_address", "source_address", "address_extension")
            if getattr(self, name) is not None
        }  # fmt: skip
        needed = {
            "normal": set(), "extended": {"target_address", "source_address"}, "mixed": {"address_extension"}
        }[self.addressing]  # fmt: skip
        if given != needed:
            raise ValueError(
                f"addressing '{self.addressing}' needs {' and '.join(sorted(needed)) or 'no address'}, but "
                f"{', '.join(sorted(given)) or 'none'} is given"
            )
        for name, most in (
            ("request", _LONGEST_REQUEST), ("session", _LONGEST_BEGINNING), ("answer", _LONGEST_BEGINNING)
        ):  # fmt: skip
            text = getattr(self, name)
            try:
                length = 1 if text is None else len(bytes.fromhex(text))
            except ValueError:
                raise ValueError(f"{name} is '{text}': write bytes in hexadecimal, such as '21 02'") from None
            if not 1 <= length <= most:
                raise ValueError(f"{name} is '{text}': it must have 1 to {most} bytes")
        if not self.extended_identifiers and max(self.request_id, self.response_id) > 0x7FF:
            raise ValueError(
                "request_id or response_id is above 0x7FF: set extended_identifiers: true, or correct it"
            )
        if self.request_id == self.response_id:
            raise ValueError(f"request_id and response_id are both {self.request_id:#x}: they must differ")
        return self


def check_polls(polls: tuple[Poll, ...]) -> None:
    """Refuse polls that contradict each other.

    Parameters
    ----------
    polls : tuple of Poll
        Those of one device.

    Raises
    ------
    ValueError
        Two have the same name or message, or hear the same identifier on different connections.
    """
    for key in ("name", "message"):
        values = [getattr(poll, key) for poll in polls]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"two polls have the same {key} '{twice[0]}': each needs its own")
    heard: dict[tuple[object, ...], Poll] = {}
    for poll in polls:
        other = heard.setdefault((poll.response_id, poll.extended_identifiers, poll.prefixes[1]), poll)
        if other.connection != poll.connection:
            raise ValueError(
                f"polls '{other.name}' and '{poll.name}' have the same response_id, but not the same "
                "request_id, addressing, padding, can_fd and flow_control: make these equal"
            )
