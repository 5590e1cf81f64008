"""The rows of the fault table (see :mod:`openbms_core.faults`, which resolves them for a pack).

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

__all__ = ["FAULT_TABLE", "Action", "Authority", "FaultRow", "Timing"]

Authority = Literal["openbms", "device", "none"]
_MOVES: tuple[Authority, ...] = ("openbms", "device")
_ANY: tuple[Authority, ...] = ("openbms", "device", "none")


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
    """

    debounce_s: float
    delay_s: float
    fault_tolerant_time_s: float


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
        Name of a triple in the pack's ``limits``, or a constant in ``unit``; NaN where there is none.
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
    authorities: tuple[Authority, ...] = _ANY

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
_CELL_V = ("cell_voltage_v",)
_CURRENT = ("string_current_a",)


def _triple(
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


_HEAT_NEEDS = (("temperature_degc", "reported_temperature_maximum_degc"),)
"""At rest heat is judged by the discharge limit, so without a current as well."""
_TEMPERATURE_NEEDS_MAX = (*_HEAT_NEEDS, _CURRENT)
_TEMPERATURE_NEEDS_MIN = (("temperature_degc", "reported_temperature_minimum_degc"), _CURRENT)

_LIMIT_ROWS: list[FaultRow] = [
    *_triple(
        "CELL_OVER_VOLTAGE", "cell_voltage_maximum", "cell_voltage_max_v", "V", VOLTAGE,
        (("cell_voltage_v", "reported_cell_voltage_maximum_v"),),
        "A cell's voltage is too high", "Stop charging; check charger settings and balance of that cell.",
        charge=0.0, safety_action=Action.OPEN,  # bleeding is what brings an overcharged cell down
    ),
    *_triple(
        "CELL_UNDER_VOLTAGE", "cell_voltage_minimum", "cell_voltage_min_v", "V", VOLTAGE,
        (("cell_voltage_v", "reported_cell_voltage_minimum_v"),),
        "A cell's voltage is too low", "Charge the pack; a cell below the safety limit needs service first.",
        discharge=0.0, warning_action=Action.NO_BALANCING | Action.NO_HEATING,
    ),
    # A load that exceeds its limit is told half of it, not zero: zero and back again would make it pump.
    *_triple(
        "OVER_CURRENT_CHARGE", "charge_current", "charge_current_max_a", "A", CURRENT, (_CURRENT,),
        "A string is charged with too much current",
        "Make charger and regeneration obey the published limits.",
        charge=0.5,
    ),
    *_triple(
        "OVER_CURRENT_DISCHARGE", "discharge_current", "discharge_current_max_a", "A", CURRENT, (_CURRENT,),
        "A string is discharged with too much current",
        "Make the load obey the published limits; look for a short.",
        discharge=0.5,
    ),
    *_triple(
        "OVER_TEMPERATURE_CHARGE", "charge_temperature_maximum", "charge_temperature_max_degc", "degC",
        TEMPERATURE, _TEMPERATURE_NEEDS_MAX,
        "Cells are charged while too hot", "Let the pack cool; check the cooling.", charge=0.0,
        warning_action=Action.NO_HEATING,
    ),
    *_triple(
        "OVER_TEMPERATURE_DISCHARGE", "discharge_temperature_maximum", "discharge_temperature_max_degc",
        "degC", TEMPERATURE, _HEAT_NEEDS,
        "Cells are too hot, in discharge or at rest",
        "Let the pack cool; check the cooling. Watch for further rise.",
        charge=0.0, discharge=0.0, warning_action=Action.NO_HEATING | Action.NO_BALANCING,
    ),
    *_triple(
        "UNDER_TEMPERATURE_CHARGE", "charge_temperature_minimum", "charge_temperature_min_degc", "degC",
        TEMPERATURE, _TEMPERATURE_NEEDS_MIN,
        "Cells are charged while too cold, which plates lithium", "Warm the pack before charging.",
        charge=0.0,
    ),
    *_triple(
        "UNDER_TEMPERATURE_DISCHARGE", "discharge_temperature_minimum", "discharge_temperature_min_degc",
        "degC", TEMPERATURE, _TEMPERATURE_NEEDS_MIN,
        "Cells are discharged while too cold", "Warm the pack.", discharge=0.0,
    ),
]  # fmt: skip


def _single(
    name: str,
    quantity: str,
    timing: Timing,
    means: str,
    does: str,
    cure: str,
    *,
    level: Level = Level.SAFETY,
    comparison: Literal["above", "below", "is"] = "is",
    limit: float = _NAN,
    unit: str = "",
    suffix: str = "",
    latched: bool = False,
    action: Action = Action.OPEN | Action.NO_BALANCING | Action.NO_HEATING,
    needs: tuple[tuple[str, ...], ...] = (),
    factors: tuple[float, float] | None = None,
    by_clock: bool = False,
    at_start: bool = True,
    authorities: tuple[Authority, ...] = _ANY,
) -> FaultRow:
    """Make a row of one level; a row that opens leaves nothing of the limits unless ``factors`` says
    otherwise.
    """
    charge, discharge = factors or ((0.0, 0.0) if Action.OPEN in action else (1.0, 1.0))
    return FaultRow(
        name + suffix, name, level, quantity, comparison, limit, unit, timing, latched, action, needs,
        means, does, cure, charge, discharge, by_clock, at_start, authorities,
    )  # fmt: skip


_OPENS = "All limits are zero, then the contactors open."
_OPENS_LATCHED = "All limits are zero, then the contactors open; closing is refused until it is cleared."
_BLOCKS = "Contactors stay as they are; closing is refused."
_AT_ONCE = Timing(0.0, 0.0, 1.0)

_OTHER_ROWS: list[FaultRow] = [
    _single("CELL_VOLTAGE_MISSING", "cell_voltage_missing", Timing(0.5, 0.2, 5.0),
            "A cell's voltage is stale or not valid, so that its limits are not watched.", _OPENS,
            "Check the cell-monitoring unit, its wiring and the bus.", unit="s",
            needs=(("cell_voltage_v", "reported_cell_voltage_maximum_v"),), at_start=False),
    _single("TEMPERATURE_MISSING", "temperature_missing", Timing(5.0, 1.0, 30.0),
            "A cell temperature is stale or not valid, so that its limits are not watched.", _OPENS,
            "Check the sensor, its wiring and the bus.", unit="s",
            needs=(("temperature_degc", "reported_temperature_maximum_degc"),), at_start=False),
    _single("CURRENT_MISSING", "current_missing", Timing(0.2, 0.1, 2.0),
            "The current of a string is stale or not valid.", _OPENS,
            "Check the current sensor, its supply and the bus.", needs=(_CURRENT,), at_start=False),
    _single("SAFETY_INPUT_MISSING", "safety_input_missing", Timing(0.2, 0.1, 2.0),
            "Interlock, emergency stop, smoke or gas detector is fitted but its state is unknown.", _OPENS,
            "Check the message that carries it and its wiring.",
            needs=(("interlock", "emergency_stop", "smoke", "gas"),), at_start=False),
    # without feedback a weld cannot be seen: what is closed may stay closed, nothing new may close
    _single("CONTACTOR_FEEDBACK_MISSING", "contactor_feedback_missing", Timing(0.5, 0.0, 5.0),
            "Contactor feedback is fitted but unknown.", _BLOCKS, "Check the auxiliary contacts and the bus.",
            level=Level.RECOMMENDED, action=Action.BLOCK_CLOSING, at_start=False, authorities=_MOVES,
            needs=(("contactor_positive", "contactor_negative", "contactor_precharge"),)),
    _single("DRIVER_LOST", "measurement_age", Timing(0.0, 0.0, 2.0),
            "No measurement arrives: the driver process is gone or stuck.", _OPENS,
            "Look at the driver's log; it is restarted by the supervisor.", comparison="above", unit="s",
            by_clock=True, at_start=False),
    _single("DRIVER_RESTARTED", "driver_restarted", _AT_ONCE,
            "The driver started anew while contactors were closed.", _OPENS,
            "Request the state again; look at the driver's log for the reason.",
            action=Action.OPEN | Action.OPEN_AT_ONCE),
    _single("BUS_LOST", "bus_lost", Timing(0.2, 0.1, 3.0),
            "The bus to the pack is silent, off, faulty or carries only foreign frames.", _OPENS,
            "Check cable, termination, bit rate and supply of the pack; the driver's diagnostics say more.",
            at_start=False),
    _single("ESTIMATOR_LOST", "estimator_age", Timing(0.0, 0.0, 3.0),
            "No fresh power limits: the estimator is gone or stuck.",
            "Limp-home limits of the pack file apply; when their time is over the pack is shut down at "
            "zero current.",
            "Look at the log of the bms process; it is restarted by the supervisor.", level=Level.RECOMMENDED,
            action=Action.NONE, unit="s", by_clock=True, at_start=False),
    _single("LIMP_HOME_EXPIRED", "limp_home_expired", _AT_ONCE,
            "The estimator stayed away for longer than the pack file allows.",
            "The pack was shut down at zero current; closing is refused until power limits are fresh again.",
            "Bring the bms process back.", level=Level.RECOMMENDED, action=Action.BLOCK_CLOSING,
            by_clock=True),
    _single("CONTACTOR_FEEDBACK_MISMATCH", "contactor_not_closed", Timing(0.2, 0.1, 2.0),
            "A contactor that is commanded closed reports open.", _OPENS_LATCHED,
            "Check coil, coil supply and auxiliary contact.", latched=True, authorities=_MOVES,
            needs=(("contactor_positive", "contactor_negative", "contactor_precharge"),)),
    _single("CONTACTOR_WELDED", "contactor_not_open", Timing(0.2, 0.1, 2.0),
            "A contactor that is commanded open reports closed.", _OPENS_LATCHED,
            "Do not touch the terminals: they may be live. Replace the contactor.", latched=True,
            authorities=_MOVES,
            needs=(("contactor_positive", "contactor_negative", "contactor_precharge"),)),
    _single("CURRENT_ON_OPEN_STRING", "current_on_open_string", CURRENT,
            "Current flows in a string whose contactors are open.", _OPENS_LATCHED,
            "Do not touch the terminals. Check for welded contactors and the offset of the current sensor.",
            comparison="above", unit="A", latched=True, needs=(_CURRENT,), authorities=_MOVES),
    _single("PRECHARGE_TIMEOUT", "precharge_failed", _AT_ONCE,
            "The link did not reach the string's voltage in any attempt.",
            "The attempt is given up; closing is locked out until the resistor has cooled and the fault "
            "is cleared.",
            "Look for a load on the link during precharge, a broken resistor or a short.",
            latched=True, by_clock=True, authorities=_MOVES),
    _single("INTERLOCK_OPEN", "interlock_open", CURRENT, "The interlock loop is broken.", _OPENS,
            "Close all high-voltage connectors and covers, then request the state again.",
            needs=(("interlock",),)),
    _single("EMERGENCY_STOP", "emergency_stop", _AT_ONCE, "The emergency stop is pressed.", _OPENS,
            "Release it when it is safe, then request the state again.", needs=(("emergency_stop",),)),
    # ISO 6469-1 and UN R100: 500 ohm/V where AC and DC circuits are connected, 100 ohm/V for DC
    _single("LOW_INSULATION", "insulation", Timing(1.0, 0.0, 10.0),
            "The insulation against the chassis is below 500 ohm per volt.", "For information.",
            "Have the insulation checked.", level=Level.OPERATING, suffix="_OPERATING", comparison="below",
            limit=500.0,
            unit="ohm/V", action=Action.NONE, needs=(("insulation_resistance_ohm",),)),
    _single("LOW_INSULATION", "insulation", Timing(1.0, 0.0, 10.0),
            "The insulation against the chassis is below 100 ohm per volt.",
            "Driving goes on with a warning; charging ends, closing is refused.",
            "Stop where it is safe. Do not touch conductors; have the insulation repaired.",
            level=Level.RECOMMENDED, suffix="_RECOMMENDED", comparison="below", limit=100.0, unit="ohm/V",
            action=Action.BLOCK_CLOSING | Action.END_CHARGING, factors=(0.0, 1.0),
            needs=(("insulation_resistance_ohm",),)),
    _single("INSULATION_MISSING", "insulation_missing", Timing(5.0, 0.0, 30.0),
            "The insulation monitor is fitted but gives no valid value.", _BLOCKS,
            "Check the insulation monitor and its wiring.", level=Level.RECOMMENDED,
            action=Action.BLOCK_CLOSING,
            needs=(("insulation_resistance_ohm",),), at_start=False),
    _single("SMOKE_ALARM", "smoke", Timing(0.5, 0.2, 2.0), "The smoke detector alarms.", _OPENS_LATCHED,
            "Leave the vehicle, keep away, call the fire brigade.", latched=True, needs=(("smoke",),)),
    _single("GAS_ALARM", "gas", Timing(0.5, 0.2, 2.0), "The gas detector alarms: a cell may be venting.",
            _OPENS_LATCHED, "Leave the vehicle, keep away, call the fire brigade.", latched=True,
            needs=(("gas",),)),
    _single("PLUGGED_IN_WHILE_DRIVING", "plugged_in_drive", Timing(1.0, 0.0, 10.0),
            "The charging plug is reported in while the state is DRIVE.",
            "Opens as by request once the current is below the break current; while current flows it only "
            "warns.",
            "Request CHARGE, or check the plug's contact.", level=Level.RECOMMENDED, action=Action.NONE,
            needs=(("charging_plug",),)),
    _single("CONFIG_MISMATCH", "config_mismatch", Timing(0.0, 0.0, 2.0),
            "Driver and monitor run with different pack or cell files.", _OPENS,
            "Start both with the same pack file.", by_clock=True),
    # the driver has opened by itself when commands expired: closing again without precharge must not happen
    _single("MONITOR_LATE", "monitor_gap", _AT_ONCE,
            "The safety monitor did not run in time, so that its commands expired in the driver.",
            _OPENS, "The computer is overloaded or was suspended; give the safety process a better priority.",
            comparison="above", unit="s", action=Action.OPEN | Action.OPEN_AT_ONCE, by_clock=True),
    # its commands expired in the driver: the contactors opened without the zero-current sequence
    _single("MONITOR_DIED", "monitor_died", Timing(0.0, 0.0, 10.0),
            "The safety monitor died or lost its power while contactors were closed.",
            "For the record: the contactors opened by expiry; nothing closes unasked.",
            "Look at the log of the safety process, then clear this fault.", level=Level.RECOMMENDED,
            action=Action.NONE, latched=True, by_clock=True),
    _single("FAULT_RECORD_CORRUPT", "record_corrupt", Timing(0.0, 0.0, 10.0),
            "The fault record could not be read: latched faults may have been lost.", _BLOCKS,
            "Check the pack, then clear this fault. The unreadable file was kept beside the record.",
            level=Level.RECOMMENDED, action=Action.BLOCK_CLOSING, latched=True, by_clock=True),
    _single("FAULT_RECORD_NOT_WRITTEN", "record_not_written", Timing(0.0, 0.0, 10.0),
            "The fault record cannot be written: faults would be forgotten at a restart.", "Warning.",
            "Check free space and permissions of the record's folder.", level=Level.RECOMMENDED,
            action=Action.NONE,
            by_clock=True),
]  # fmt: skip

FAULT_TABLE: tuple[FaultRow, ...] = (*_LIMIT_ROWS, *_OTHER_ROWS)
"""Every row, with its default timing."""
