"""Where SunSpec begins on a device, and which models follow each other there.

Source: SunSpec Device Information Model Specification, version 1.1, section 5: "SunS" at 40000, 50000 or 0,
then models of ID, length and points, until the ID 0xFFFF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from openbms_drivers.devices.sunspec.models import Definition, Values, definition

__all__ = [
    "BASES",
    "LARGEST_READ",
    "Block",
    "Chain",
    "MapChangedError",
    "NotSunSpecError",
    "RefusedError",
    "find_base",
    "read_block",
    "walk",
]

BASES = (40000, 50000, 0)
"""Addresses that the standard names."""
LARGEST_READ = 125
"""Registers in one answer of Modbus."""

_MARK = (0x5375, 0x6E53)
_END = 0xFFFF
_MOST_MODELS = 100
_LAST_ADDRESS = 0xFFFF

Read = Callable[[int, int], Sequence[int]]
"""Address and number of registers to their values."""


class RefusedError(Exception):
    """The device answered, but not with registers.

    Attributes
    ----------
    code : int
        Exception code of Modbus; 0 where the answer was malformed.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class MapChangedError(RefusedError):
    """Another model stands where one was found: the device was exchanged or set up anew."""


class NotSunSpecError(Exception):
    """Nothing of SunSpec stands where it should."""


@dataclass(frozen=True)
class Block:
    """One model on a device: its number, the address of its ID register, its length without ID and L."""

    number: int
    address: int
    length: int

    @property
    def definition(self) -> Definition | None:
        """What OpenBMS knows of it."""
        return definition(self.number)


@dataclass(frozen=True)
class Chain:
    """The models of a device.

    Attributes
    ----------
    base : int
        Address of "SunS".
    blocks : tuple of Block
        In their order.
    problem : str
        What is wrong with the chain; empty where it ends as it should.
    """

    base: int
    blocks: tuple[Block, ...]
    problem: str = ""

    def block(self, number: int) -> Block | None:
        """Give the first model of that number."""
        return next((block for block in self.blocks if block.number == number), None)

    def first(self, numbers: Iterable[int]) -> Block | None:
        """Give the first of these models that is there, in the order of ``numbers``."""
        return next((block for number in numbers if (block := self.block(number)) is not None), None)


def find_base(read: Read, first: int | None = None) -> int:
    """Find where SunSpec begins.

    Parameters
    ----------
    read : callable
        Reads registers; raises ``RefusedError`` where the device does not give them.
    first : int, optional
        Address to try before those of the standard.

    Returns
    -------
    int

    Raises
    ------
    NotSunSpecError
        At none of the addresses.
    """
    tried = tuple(dict.fromkeys((*(() if first is None else (first,)), *BASES)))
    said = []
    for base in tried:
        try:
            words = tuple(read(base, 2))
        except RefusedError as error:
            said.append(f"{base}: {error}")
            continue
        if words == _MARK:
            return base
        said.append(f"{base}: {' '.join(f'0x{word:04X}' for word in words)}")
    raise NotSunSpecError(
        f"no 'SunS' at {', '.join(map(str, tried))} ({'; '.join(said)}). Switch SunSpec on in the device, or "
        "give the right unit id or base_address"
    )


def walk(read: Read, base: int) -> Chain:
    """Follow the models from ``base`` on.

    Parameters
    ----------
    read : callable
        As for ``find_base``.
    base : int
        Address of "SunS".

    Returns
    -------
    Chain
        As far as it could be followed; ``problem`` says why it ended early.
    """
    blocks: list[Block] = []
    address = base + 2

    def ended(problem: str) -> Chain:
        return Chain(base, tuple(blocks), problem)

    while address < _LAST_ADDRESS:
        try:
            number, length = read(address, 2)
        except RefusedError as error:
            return ended(f"the chain of models breaks off at {address} without its end mark ({error})")
        if number == _END:
            return ended("" if blocks else "the chain of models is empty")
        if number == 0:
            return ended(f"the chain of models breaks off at {address}: there is a model with the number 0")
        if length > _LAST_ADDRESS - address - 2:
            return ended(f"model {number} at {address} says that it is {length} registers long: it cannot be")
        blocks.append(Block(number, address, length))
        if len(blocks) >= _MOST_MODELS:
            return ended(f"the chain of models does not end within {_MOST_MODELS} models")
        address += 2 + length
    return ended("the chain of models runs beyond the last address")


def read_block(read: Read, block: Block, largest: int = LARGEST_READ) -> Values:
    """Read one model, in as few requests as the device allows.

    Parameters
    ----------
    read : callable
        As for ``find_base``.
    block : Block
        A model that OpenBMS knows.
    largest : int
        Registers that the device gives at once.

    Returns
    -------
    Values

    Raises
    ------
    RefusedError
        The device does not give it; ``MapChangedError``: another model stands there now.
    """
    model = block.definition
    if model is None:
        raise ValueError(f"model {block.number} is not known")
    count = min(model.registers(block.length), block.length + 2)
    words: list[int] = []
    while len(words) < count:
        words += read(block.address + len(words), min(largest, count - len(words)))
    if tuple(words[:2]) != (block.number, block.length):
        raise MapChangedError(
            f"at {block.address} stood model {block.number} of {block.length} registers, now "
            f"{words[0]} of {words[1]}: the device has changed its map"
        )
    return Values(model, tuple(words), block.length)
