"""What a row of the fault table is, and the two ways to write one down.

Timing defaults are those of foxBMS 2 v1.11 (``engine/config/diag_cfg.c``: N events of 10 ms each, then a
delay), turned into seconds: voltages 50 x 10 ms + 200 ms, currents and interlock 10 x 10 ms + 100 ms,
temperatures 500 x 10 ms + 1 s, contactor feedback 20 x 10 ms + 100 ms. Where foxBMS has no such row, or
only warns (missing cell voltages, insulation), the choice is this project's own. So are all fault-tolerant
times; a pack file can override each of the three.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto
from typing import Literal

from openbms_core.types import Level

__all__ = [
    "ANY",
    "AT_ONCE",
    "BLOCKS",
    "CURRENT",
    "HEAT_NEEDS",
    "MOVES",
    "NEEDS_CURRENT",
    "OPENS",
    "OPENS_LATCHED",
    "TEMPERATURE",
    "VOLTAGE",
    "Action",
    "Authority",
    "FaultRow",
    "Timing",
    "single",
    "triple",
]

Authority = Literal["openbms", "device", "none"]
MOVES: tuple[Authority, ...] = ("openbms", "device")
ANY: tuple[Authority, ...] = ("openbms", "device", "none")


class Action(Flag):
    """What an active or latched row does beside warning; a row that opens requests zero current before."""

    NONE = 0
    OPEN = auto()
    """Zero current is requested, then the contactors open; closing is refused."""
    OPEN_AT_ONCE = auto()
    """With OPEN: do not wait for zero current, since the device has already opened by itself."""
    BLOCK_CLOSING = auto()
    """Closing is refused; closed contactors stay closed."""
    END_CHARGING = auto()
    """The state CHARGE is left by an ordinary opening."""
    NO_BALANCING = auto()
    NO_HEATING = auto()
    COOL = auto()
    """Pump, fan and chiller run at the safe values of the pack file at least, whatever is commanded."""


@dataclass(frozen=True)
class Timing:
    """Debounce, delay and fault-tolerant time of a row.

    Attributes
    ----------
    debounce_s : float
        Time for which the condition must hold before the row trips, and be gone before it clears.
    delay_s : float
        Time from tripping to the action; limits are zero meanwhile where the row opens the contactors.
    fault_tolerant_time_s : float
        Time from the onset of the fault within which the action must be complete.
    opening_deadline_s : float or None
        Own deadline for zero current of a row that opens; None: that of the pack file.
    """

    debounce_s: float
    delay_s: float
    fault_tolerant_time_s: float
    opening_deadline_s: float | None = None


@dataclass(frozen=True)
class FaultRow:
    """One row of the fault table.

    Attributes
    ----------
    id : str
        Identifier: the name, with the level behind it where the name has several.
    name : str
        Identifier without level; the key of ``faults`` in the pack file.
    level : Level
    quantity : str
        What is judged; the monitor's checks have one function of this name.
    comparison : str
        ``above`` or ``below`` the limit, or ``is`` for a yes-or-no condition.
    limit : str or float
        Name of a triple in the pack's ``limits``, name of a value in its ``protection``, or a constant in
        ``unit``; NaN where there is none.
    unit : str
        Unit of value and limit as published in Fault.msg.
    timing : Timing
    latched : bool
        Stays until it is cleared by hand after its condition is gone.
    action : Action
    needs : tuple of tuples of str
        Quantities that the pack must measure: all of the outer, any of the inner. Otherwise *not monitored*.
    means, does, cure : str
        What it means, what the system does, what to do about it.
    charge_factor, discharge_factor : float
        What is left of the limits while the row is tripped, active or latched (0 to 1).
    by_clock : bool
        Judged on every call by the monotonic clock, not only when a scan arrives.
    at_start : bool
        Judged from the first moment; otherwise only when the first complete scan is there or start-up has
        timed out.
    authorities : tuple of str
        The row is monitored only where contactors are moved by one of these.
    by_name : bool
        A latched row that is cleared only by naming it (service), never by "clear all".
    clears_when : str
        What must be true, beside its condition being gone, before a latched row can be cleared.
    detection_s : float
        Time that the watch itself needs, before the debounce, where it judges a course over several scans.
    """

    id: str
    name: str
    level: Level
    quantity: str
    comparison: Literal["above", "below", "is"]
    limit: str | float
    unit: str
    timing: Timing
    latched: bool
    action: Action
    needs: tuple[tuple[str, ...], ...]
    means: str
    does: str
    cure: str
    charge_factor: float = 1.0
    discharge_factor: float = 1.0
    by_clock: bool = False
    at_start: bool = True
    authorities: tuple[Authority, ...] = ANY
    by_name: bool = False
    clears_when: str = ""
    detection_s: float = 0.0

    @property
    def clear_condition(self) -> str:
        """How the row ends."""
        gone = (
            f"condition gone for {self.timing.debounce_s:g} s" if self.timing.debounce_s else "condition gone"
        )
        if not self.latched:
            return f"by itself: {gone}"
        who = "by name only (service)" if self.by_name else "by anybody"
        return f"{who}, after: {gone}" + (f"; {self.clears_when}" if self.clears_when else "")

    @property
    def explanation(self) -> str:
        """What it means, what the system does and what to do, as one text."""
        return f"{self.means} {self.does} {self.cure}"

    @property
    def opens(self) -> bool:
        """Tell whether it opens the contactors."""
        return Action.OPEN in self.action

    @property
    def blocks_closing(self) -> bool:
        """Tell whether it forbids closing the contactors."""
        return bool(self.action & (Action.OPEN | Action.BLOCK_CLOSING))


_NAN = float("nan")
VOLTAGE = Timing(0.5, 0.2, 2.0)
CURRENT = Timing(0.1, 0.1, 1.0)
TEMPERATURE = Timing(5.0, 1.0, 10.0)
NEEDS_CURRENT = ("string_current_a",)


def triple(
    name: str,
    quantity: str,
    limit: str,
    unit: str,
    timing: Timing,
    needs: tuple[tuple[str, ...], ...],
    means: str,
    cure: str,
    *,
    charge: float = 1.0,
    discharge: float = 1.0,
    warning_action: Action = Action.NONE,
    safety_action: Action = Action.OPEN | Action.NO_BALANCING,
) -> list[FaultRow]:
    """Make the three rows of a limit triple; ``charge`` and ``discharge`` are the factors at the second
    level.
    """
    below = "_min_" in limit
    direction = " and ".join(
        word for word, factor in (("charge", charge), ("discharge", discharge)) if factor < 1.0
    )
    left = "zero" if min(charge, discharge) == 0.0 else "half"
    does = {
        Level.OPERATING: "For information: limits fall from here on.",
        Level.RECOMMENDED: f"Warning: the {direction} limit is {left}.",
        Level.SAFETY: "All limits are zero, then the contactors open; closing is refused until it is "
        "cleared.",
    }
    return [
        FaultRow(
            id=f"{name}_{level.name}",
            name=name,
            level=level,
            quantity=quantity,
            comparison="below" if below else "above",
            limit=limit,
            unit=unit,
            timing=timing,
            latched=level == Level.SAFETY,
            action=(Action.NONE, warning_action, warning_action | safety_action)[level],
            needs=needs,
            means=f"{means} ({level.name.lower()} limit).",
            does=does[level],
            cure=cure,
            charge_factor=(1.0, charge, 0.0)[level],
            discharge_factor=(1.0, discharge, 0.0)[level],
        )
        for level in Level
    ]


HEAT_NEEDS = (("temperature_degc", "reported_temperature_maximum_degc"),)
"""At rest heat is judged by the discharge limit, so without a current as well."""

OPENS = "All limits are zero, then the contactors open."
OPENS_LATCHED = "All limits are zero, then the contactors open; closing is refused until it is cleared."
BLOCKS = "Contactors stay as they are; closing is refused."
AT_ONCE = Timing(0.0, 0.0, 1.0)


def single(
    name: str,
    quantity: str,
    timing: Timing,
    means: str,
    does: str,
    cure: str,
    *,
    level: Level = Level.SAFETY,
    comparison: Literal["above", "below", "is"] = "is",
    limit: str | float = _NAN,
    unit: str = "",
    suffix: str = "",
    latched: bool = False,
    action: Action = Action.OPEN | Action.NO_BALANCING | Action.NO_HEATING,
    needs: tuple[tuple[str, ...], ...] = (),
    factors: tuple[float, float] | None = None,
    by_clock: bool = False,
    at_start: bool = True,
    authorities: tuple[Authority, ...] = ANY,
    by_name: bool = False,
    clears_when: str = "",
    detection_s: float = 0.0,
) -> FaultRow:
    """Make a row of one level; a row that opens leaves nothing of the limits unless ``factors`` says
    otherwise.
    """
    charge, discharge = factors or ((0.0, 0.0) if Action.OPEN in action else (1.0, 1.0))
    return FaultRow(
        name + suffix, name, level, quantity, comparison, limit, unit, timing, latched, action, needs,
        means, does, cure, charge, discharge, by_clock, at_start, authorities, by_name, clears_when,
        detection_s,
    )  # fmt: skip
