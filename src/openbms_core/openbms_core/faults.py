"""The fault table: which faults exist, when they trip and what they do.

A new fault is one row in :mod:`openbms_core.fault_rows` (plus, where it needs a new comparison, one
function in the monitor's checks). Times are in seconds and are integrated over the time that really passed
between scans.

Sequence of a row: its condition holds → *debounce* (up and down integrator) → tripped: limits follow, a row
that opens the contactors requests zero current → *delay* → active: its action is taken → gone, or latched
until it is cleared.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from openbms_core.config_file import ConfigError, read_yaml
from openbms_core.fault_rows import FAULT_TABLE, Action, FaultRow, Timing
from openbms_core.pack import FaultTiming, LoadedPack, PackFile
from openbms_core.topics import TOPIC_BY_NAME

__all__ = [
    "FAULT_BY_ID",
    "FAULT_NAMES",
    "FAULT_TABLE",
    "SOFTWARE_ALLOWANCE_S",
    "Action",
    "FaultRow",
    "Reaction",
    "Timing",
    "check_timing",
    "default_thresholds",
    "driver_lost_after_s",
    "fault_rows",
    "limit_value",
    "not_monitored",
    "opening_deadline_s",
    "place_in_file",
    "precharge_current_max_a",
    "reaction",
]

SOFTWARE_ALLOWANCE_S = 0.05
"""From the end of a scan to the command on the bus: two hops between processes (0.5 ms at the 99th
percentile each), one period of the monitor's timer (20 ms) and the sending, with room for a loaded
computer."""

FAULT_BY_ID = {row.id: row for row in FAULT_TABLE}
"""Rows with default timing, by identifier."""
FAULT_NAMES = tuple(dict.fromkeys(row.name for row in FAULT_TABLE))
"""Identifiers without level: the keys that ``faults`` in a pack file may have."""

# A missing-data row is seen only when the value has become stale: its maximum age is part of the detection.
_STALE_QUANTITIES = {
    "CELL_VOLTAGE_MISSING": (
        "cell_voltage_v",
        "reported_cell_voltage_minimum_v",
        "reported_cell_voltage_maximum_v",
    ),
    "TEMPERATURE_MISSING": (
        "temperature_degc",
        "reported_temperature_minimum_degc",
        "reported_temperature_maximum_degc",
    ),
    "CURRENT_MISSING": ("string_current_a",),
    "SAFETY_INPUT_MISSING": ("interlock", "emergency_stop", "smoke", "gas"),
    "CONTACTOR_FEEDBACK_MISSING": ("contactor_positive", "contactor_negative", "contactor_precharge"),
    "INSULATION_MISSING": ("insulation_resistance_ohm",),
    "LINK_VOLTAGE_MISSING": ("link_voltage_v",),
    "STRING_VOLTAGE_MISSING": ("string_voltage_v",),
    "REDUNDANT_CELL_VOLTAGE_MISSING": ("redundant_cell_voltage_v",),
    "REDUNDANT_CURRENT_MISSING": ("redundant_string_current_a",),
    "BALANCING_FEEDBACK_MISSING": ("cell_balancing",),
    "AFE_TEMPERATURE_MISSING": ("temperature_degc",),
    "PRESSURE_MISSING": ("pressure_pa",),
    "SUPPLY_VOLTAGE_MISSING": ("supply_voltage_v",),
    "COOLANT_FLOW_MISSING": ("coolant_flow_m3_per_s",),
    "ACTUATOR_FEEDBACK_MISSING": ("actuator_feedback",),
}


def driver_lost_after_s(pack: PackFile) -> float:
    """Give the age of the last measurement at which the driver counts as lost [s]."""
    return max(TOPIC_BY_NAME["measurement"].stale_after_s, 3.0 * pack.measurement.scan_period_s)


def _protection_value(name: str, pack: PackFile) -> float:
    """Give a value of ``protection``, or what follows from the pack where it is absent (NaN: none)."""
    value = getattr(pack.protection, name)
    if value is not None:
        return float(value)
    if name == "string_voltage_difference_max_v":
        return max(3.0, 0.01 * pack.topology.cells_in_series * pack.limits.cell_voltage_max_v.safety)
    if name == "redundant_current_difference_max_a":
        return 0.05 * pack.limits.discharge_current_max_a.safety
    return math.nan


_TOUCHABLE_V = 60.0
"""UN R100: direct voltage below it is safe to touch."""


def _link_safe_voltage_v(pack: PackFile) -> float:
    """Give the voltage that the link must fall below after opening [V]; NaN where that is not monitored."""
    contactors = pack.contactors
    if contactors.link_discharge_time_s is None:
        return math.nan
    empty_v = pack.topology.cells_in_series * pack.limits.cell_voltage_min_v.safety
    return contactors.link_safe_voltage_v or min(_TOUCHABLE_V, 0.5 * empty_v)


def precharge_current_max_a(pack: PackFile) -> float:
    """Give the current below which a precharge is complete [A]."""
    precharge = pack.contactors.precharge
    own = precharge.current_max_a if precharge is not None else None
    return own if own is not None else pack.limits.current_deadband_a


def _contactor_limit(row: FaultRow, pack: PackFile) -> float:
    """Give the number that a yes-or-no row of contactors is reported with (NaN: none)."""
    if row.quantity == "opened_under_load":
        return pack.contactors.break_current_a
    if row.quantity == "precharge_aborted_current":
        return precharge_current_max_a(pack)
    precharge = pack.contactors.precharge
    if row.quantity == "precharge_aborted_voltage" and precharge is not None:
        return precharge.voltage_difference_max_v
    return math.nan


def default_thresholds(pack: LoadedPack) -> dict[str, float]:
    """Give the thresholds that the pack file leaves to their defaults.

    Returns
    -------
    dict of str to float
        Value in the unit of the key, by key of ``protection``; without those that have none.
    """
    data = read_yaml(pack.path)[0] if pack.path.is_file() else {}
    written = (data or {}).get("protection") or {}
    values = {key: _protection_value(key, pack.file) for key in type(pack.file.protection).model_fields}
    return {key: value for key, value in values.items() if key not in written and not math.isnan(value)}


def limit_value(row: FaultRow, pack: PackFile) -> float:
    """Give the number that a row compares with, in the row's unit (NaN where there is none)."""
    if row.limit == "link_safe_voltage_v":
        return _link_safe_voltage_v(pack)
    if isinstance(row.limit, str):
        triple = pack.limits.triples().get(row.limit)
        if triple is None:
            return _protection_value(row.limit, pack)
        return (triple.operating, triple.recommended, triple.safety)[row.level]
    if row.quantity == "measurement_age":
        return driver_lost_after_s(pack)
    if row.quantity == "monitor_gap":
        return pack.contactors.command_valid_for_s
    if row.quantity == "current_on_open_string":
        return pack.limits.current_deadband_a
    return row.limit if not math.isnan(row.limit) else _contactor_limit(row, pack)


def _measured(need: str, pack: PackFile) -> bool:
    """Tell whether the pack has what a row needs: a quantity, one place or member of it, or a command."""
    quantity, _, part = need.partition(":")
    if quantity == "command":
        # what the pack's own bus does not command, actuator_driver does where its feedback comes back
        elsewhere = "actuator_feedback" in pack.gateway_inputs and part != "bleed"
        return elsewhere or any(
            signal.source == part for entry in pack.device.commands for signal in entry.signals
        )
    if quantity == "temperature_degc":  # only sensors at cells count: ambient says nothing of a cell
        wanted = {i for i, (_, where, _) in enumerate(pack.topology.sensors) if where == (part or "cell")}
    elif part:
        wanted = set(pack.topology.members(part))
        if quantity in pack.gateway_inputs:
            return bool(wanted)
    else:
        return pack.mapped(quantity)
    return any(
        index in wanted
        for entry in pack.device.signals
        if entry.to == quantity
        for index, *_ in entry.expanded()
    )


def _monitored(row: FaultRow, pack: PackFile) -> bool:
    if isinstance(row.limit, str) and math.isnan(limit_value(row, pack)):
        return False
    return pack.contactors.moved_by in row.authorities and all(
        any(_measured(quantity, pack) for quantity in options) for options in row.needs
    )


def not_monitored(pack: PackFile) -> list[str]:
    """Give the rows that this pack cannot monitor, since it does not measure what they need.

    Returns
    -------
    list of str
        Identifiers, in the order of the table.
    """
    return [row.id for row in FAULT_TABLE if not _monitored(row, pack)]


def _overridden(row: FaultRow, own: FaultTiming | None) -> FaultRow:
    if own is None:
        return row
    given = {name: value for name, value in own.model_dump().items() if value is not None}
    return replace(row, timing=replace(row.timing, **given))


def fault_rows(pack: PackFile) -> tuple[FaultRow, ...]:
    """Give the rows that this pack monitors, with the pack's own timing.

    Raises
    ------
    ConfigError
        ``faults`` of the pack file names a row that does not exist.
    """
    for name in pack.faults:
        if name not in FAULT_NAMES:
            near = difflib.get_close_matches(name, FAULT_NAMES, n=1, cutoff=0.5)
            cure = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(FAULT_NAMES)}."
            raise ConfigError(f"faults.{name}: the fault table has no such row (without level). {cure}")
    return tuple(_overridden(row, pack.faults.get(row.name)) for row in FAULT_TABLE if _monitored(row, pack))


@dataclass(frozen=True)
class Reaction:
    """Worst-case reaction to a fault, from its onset.

    Attributes
    ----------
    stale_s : float
        Until the lack of data is noticed (rows for missing data only).
    scans_s : float
        One scan until it is seen, one more since a debounce ends at a scan.
    watch_s : float
        Until a watch has seen enough of its course (rows judged over several scans).
    debounce_s, software_s, delay_s, opening_s : float
        The other shares; ``opening_s`` is the deadline for zero current and the contactor itself.
    """

    stale_s: float
    scans_s: float
    watch_s: float
    debounce_s: float
    software_s: float
    delay_s: float
    opening_s: float

    @property
    def zero_request_s(self) -> float:
        """Onset to the request for zero current, or to the warning where the row does not open [s]."""
        return self.stale_s + self.scans_s + self.watch_s + self.debounce_s + self.software_s

    @property
    def total_s(self) -> float:
        """Onset to the completed action [s]."""
        return self.zero_request_s + self.delay_s + self.opening_s


def _stale_s(row: FaultRow, pack: PackFile) -> float:
    if row.quantity == "measurement_age":
        return driver_lost_after_s(pack)
    if row.quantity == "estimator_age":
        return TOPIC_BY_NAME["power_limits"].stale_after_s
    if row.quantity == "monitor_gap":
        return pack.contactors.command_valid_for_s
    if row.name == "BUS_LOST":
        return pack.device.silent_after_s
    quantities = _STALE_QUANTITIES.get(row.name, ())
    return max(
        (pack.max_age_s(entry) for entry in pack.device.signals if entry.to in quantities), default=0.0
    )


def opening_deadline_s(row: FaultRow, pack: PackFile) -> float:
    """Give the time that a row which opens leaves for zero current [s]."""
    own = row.timing.opening_deadline_s
    return own if own is not None else pack.contactors.fault_opening_deadline_s


def reaction(row: FaultRow, pack: PackFile) -> Reaction:
    """Compute the worst-case reaction of a row (with the timing that the row carries) in a pack."""
    scan = 0.0 if row.by_clock else pack.measurement.scan_period_s
    opening = opening_deadline_s(row, pack) + pack.contactors.opening_time_s if row.opens else 0.0
    if Action.OPEN_AT_ONCE in row.action:
        opening = pack.contactors.opening_time_s
    return Reaction(
        stale_s=_stale_s(row, pack),
        scans_s=scan * (2.0 if row.timing.debounce_s > 0.0 else 1.0),
        watch_s=row.detection_s,
        debounce_s=row.timing.debounce_s,
        software_s=SOFTWARE_ALLOWANCE_S,
        delay_s=row.timing.delay_s,
        opening_s=opening,
    )


def _timing_problems(rows: Iterable[FaultRow], pack: PackFile) -> dict[str, str]:
    problems: dict[str, str] = {}
    for row in rows:
        parts, allowed = reaction(row, pack), row.timing.fault_tolerant_time_s
        if parts.total_s <= allowed + 1e-9 or row.name in problems:
            continue
        stale = f"staleness {parts.stale_s:g} s + " if parts.stale_s else ""
        watch = f"watch {parts.watch_s:g} s + " if parts.watch_s else ""
        problems[row.name] = (
            f"{row.id}: the worst reaction is {stale}scans {parts.scans_s:g} s + {watch}debounce "
            f"{parts.debounce_s:g} s + "
            f"software {parts.software_s:g} s + delay {parts.delay_s:g} s + opening {parts.opening_s:g} s = "
            f"{parts.total_s:.3g} s, above its fault-tolerant time {allowed:g} s. Shorten "
            f"measurement.scan_period_s, max_age_s, contactors.fault_opening_deadline_s or the row's "
            f"debounce; or, if the "
            f"cells tolerate it, set faults.{row.name}.fault_tolerant_time_s to at least "
            f"{math.ceil(parts.total_s * 10) / 10:g}"
        )
    return problems


def place_in_file(pack: LoadedPack, *key: str | int) -> str:
    """Give path and line of a key of the pack file, or of the nearest one above that is there."""
    lines = read_yaml(pack.path)[1] if pack.path.is_file() else {}
    line = next((lines[key[:n]] for n in range(len(key), -1, -1) if key[:n] in lines), 1)
    return f"{pack.path}:{line}"


def check_timing(pack: LoadedPack) -> None:
    """Refuse a pack whose scan, debounce, delay, software and contactors exceed a fault-tolerant time.

    Parameters
    ----------
    pack : LoadedPack

    Raises
    ------
    ConfigError
        One line per fault, with file, line, key, the numbers and what would be right; or ``faults`` names a
        row that does not exist.
    """
    try:
        rows = fault_rows(pack.file)
    except ConfigError as error:
        unknown = next(name for name in pack.file.faults if name not in FAULT_NAMES)
        at = place_in_file(pack, "faults", unknown)
        raise ConfigError([f"{at}: {problem}" for problem in error.problems]) from None
    problems = _timing_problems(rows, pack.file)
    if problems:
        raise ConfigError(
            [
                f"{place_in_file(pack, 'faults', name)}: faults.{name}: {text}."
                for name, text in problems.items()
            ]
        )
