"""What `openbms can map` proposes, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from openbms_drivers.dbc_file import DbcFile
from openbms_drivers.mapping.facts import Fact
from openbms_drivers.mapping.integrity import Found
from openbms_drivers.mapping.reaction import SignVerdict
from openbms_drivers.mapping.rows import Entry
from openbms_drivers.mapping.scales import Scaling

__all__ = ["ON_OFF", "Item", "Proposal", "Sensor"]

ON_OFF = frozenset(
    {
        "contactor_positive",
        "contactor_negative",
        "contactor_precharge",
        "interlock",
        "emergency_stop",
        "ignition",
        "charging_plug",
        "smoke",
        "gas",
        "cell_balancing",
    }
)
"""Quantities of the proposal that are on or off."""


@dataclass
class Item:
    """One quantity of the proposal.

    Attributes
    ----------
    quantity : str
        Of the pack file.
    members : list of Fact
        Signals, in the order of the index.
    entries : list of Entry
        As the signal map writes them.
    scaling : Scaling
        Scale and offset.
    codes : tuple of int
        ``not_available_raw``.
    limits : tuple
        ``minimum`` and ``maximum``; None where none is proposed.
    true_when, valid_when
        Raw values; None where the default is right.
    sure : bool
        Nothing speaks against it.
    why, doubts, notes, alternatives
        What speaks for it, what is unsure, what else is known, what else it could be.
    location : str
        Of temperatures.
    first_index : int
        Where the row begins within the quantity.
    """

    quantity: str
    members: list[Fact]
    entries: list[Entry]
    scaling: Scaling = field(default_factory=Scaling)
    codes: tuple[int, ...] = ()
    limits: tuple[float | None, float | None] = (None, None)
    true_when: tuple[int, ...] | None = None
    valid_when: int | None = None
    sure: bool = True
    why: str = ""
    doubts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    alternatives: list[str] = field(default_factory=list)
    location: str = ""
    first_index: int = 0

    @property
    def size(self) -> int:
        """Length of the row, gaps included."""
        return max(entry.first_index + entry.count for entry in self.entries)

    @property
    def source(self) -> str:
        """Where it is from, in short."""
        first, last = self.members[0], self.members[-1]
        if len(self.members) == 1:
            return first.full_name
        if first.full_name == last.full_name:
            return f"{first.full_name} ×{len(self.members)}"
        return f"{first.full_name} … {last.full_name}"


@dataclass
class Sensor:
    """A row of temperature sensors of the topology."""

    name: str
    location: str
    count: int


@dataclass
class Proposal:
    """What a DBC, and a log of it, say.

    Attributes
    ----------
    dbc : DbcFile
        The DBC.
    items : list of Item
        In the order of the pack file.
    integrity : list of Found
        Of the messages that are mapped.
    ages : dict
        Maximum age of each quantity [s], and where it is from.
    cells, strings : int
        0 cells: nothing tells.
    sensors : list of Sensor
        In the order of ``temperature_degc``.
    missing : dict
        Needed quantities that no signal fits, with what that means.
    notes : list of str
        What a person should know.
    sign : SignVerdict or None
        Of the current, from the log.
    silent_after_s : float
        For the device.
    """

    dbc: DbcFile
    items: list[Item]
    integrity: list[Found] = field(default_factory=list)
    ages: dict[str, tuple[float, str]] = field(default_factory=dict)
    cells: int = 0
    strings: int = 1
    sensors: list[Sensor] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sign: SignVerdict | None = None
    silent_after_s: float = 1.0
    fd: bool = False

    def item(self, quantity: str) -> Item | None:
        """Give the item of a quantity."""
        return next((item for item in self.items if item.quantity == quantity), None)
