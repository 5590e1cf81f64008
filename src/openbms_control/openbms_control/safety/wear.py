"""What contactors have gone through, kept over restarts: openings, broken currents, heat, strings that are
out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ContactorRecord", "ContactorWear", "read_contactor_record"]


@dataclass(frozen=True)
class ContactorRecord:
    """What is kept of the contactors over restarts; lists have one entry a string.

    Attributes
    ----------
    openings, openings_under_load : tuple of int
        How often the string's contactors were opened; how often above the break current.
    broken_current_a : tuple of float
        Sum of the currents that were broken above the break current [A].
    isolated : tuple of int
        Strings that are out until STRING_ISOLATED is cleared.
    precharge_heat : tuple of float
        Heat of each precharge resistor, in full attempts.
    written_s : float
        ROS time when it was written [s]: the resistors cool meanwhile.
    """

    openings: tuple[int, ...] = ()
    openings_under_load: tuple[int, ...] = ()
    broken_current_a: tuple[float, ...] = ()
    isolated: tuple[int, ...] = ()
    precharge_heat: tuple[float, ...] = ()
    written_s: float = 0.0

    def of(self, name: str, strings: int) -> list[float]:
        """Give the list of this name for a pack with so many strings; what is not on record is zero."""
        known = list(getattr(self, name))[:strings]
        return known + [0.0] * (strings - len(known))


def read_contactor_record(data: Any) -> ContactorRecord:
    """Read what :func:`dataclasses.asdict` gave.

    Raises
    ------
    TypeError, KeyError, ValueError
        It is something else.
    """
    return ContactorRecord(
        openings=tuple(int(value) for value in data["openings"]),
        openings_under_load=tuple(int(value) for value in data["openings_under_load"]),
        broken_current_a=tuple(float(value) for value in data["broken_current_a"]),
        isolated=tuple(int(value) for value in data["isolated"]),
        precharge_heat=tuple(float(value) for value in data["precharge_heat"]),
        written_s=float(data["written_s"]),
    )


@dataclass
class ContactorWear:
    """Counts of openings; all arrays have shape (strings,)."""

    openings: NDArray[np.int64]
    openings_under_load: NDArray[np.int64]
    broken_current_a: NDArray[np.float64]
    positive_first: bool = field(default=True)
    """Which contactor opens first at the next ordinary opening."""

    @classmethod
    def of(cls, record: ContactorRecord, strings: int) -> ContactorWear:
        """Go on from the record."""
        openings = np.array(record.of("openings", strings), dtype=np.int64)
        return cls(
            openings,
            np.array(record.of("openings_under_load", strings), dtype=np.int64),
            np.array(record.of("broken_current_a", strings)),
            positive_first=bool(openings.max() % 2 == 0),
        )

    def opened(self, strings: NDArray[np.bool_]) -> None:
        """Count an opening of these strings."""
        self.openings += strings
        self.positive_first = bool(self.openings.max() % 2 == 0)

    def broke(self, currents_a: NDArray[np.float64]) -> None:
        """Count the strings whose current was broken (0: none)."""
        self.openings_under_load += currents_a > 0.0
        self.broken_current_a += currents_a
