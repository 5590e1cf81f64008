"""Fault injections as data: what is broken in the twin, from when, for how long.

Each injection is one mapping with the key ``fault``; a list of them is all that is broken. For example::

    - {fault: cell_voltage_offset, cell: 17, offset_v: 0.03}
    - {fault: contactor_welded, contactor: positive, start_s: 5}
    - {fault: drop_message, message: "Cmu3_*", duration_s: 2}

``start_s`` counts in wall time from the moment the list is set, ``duration_s`` from there.
"""

from __future__ import annotations

import fnmatch
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from openbms_core.config_file import Integer, NonNegative, Number, Positive, StrictModel

__all__ = ["FAULTS", "Injection", "InjectionError", "Injections", "parse_injections"]

Contactor = Literal["positive", "negative", "precharge"]
Cell = Annotated[Integer, Field(ge=0)]


class InjectionError(ValueError):
    """The list of injections cannot be used; one sentence says why."""


class Injection(StrictModel):
    """What every injection has."""

    start_s: NonNegative = 0.0
    """From this time after the list was set."""
    duration_s: Positive | None = None
    """For this long; absent: until the list is replaced."""

    def active(self, since_set_s: float) -> bool:
        """Tell whether it acts this long after the list was set."""
        past = since_set_s - self.start_s
        return past >= 0.0 and (self.duration_s is None or past < self.duration_s)


class CellVoltageOffset(Injection):
    """The front end measures one cell wrong by an offset."""

    fault: Literal["cell_voltage_offset"]
    cell: Cell
    offset_v: Number


class CellVoltageStuck(Injection):
    """The front end repeats a value for one cell."""

    fault: Literal["cell_voltage_stuck"]
    cell: Cell
    value_v: NonNegative | None = None
    """Absent: the value of the moment in which it starts."""


class CellOpenWire(Injection):
    """A sense wire is open: the front end says not available."""

    fault: Literal["cell_open_wire"]
    cell: Cell


class CellInternalShort(Injection):
    """A resistor inside one cell (plant only: a recorded cell has none)."""

    fault: Literal["cell_internal_short"]
    cell: Cell
    resistance_ohm: Annotated[Number, Field(ge=0.05)]


class TemperatureOffset(Injection):
    """A temperature sensor measures wrong by an offset."""

    fault: Literal["temperature_offset"]
    sensor: str
    """Name of the sensor in the pack file; may hold ``*``."""
    offset_degc: Number


class TemperatureStuck(Injection):
    """A temperature sensor repeats a value."""

    fault: Literal["temperature_stuck"]
    sensor: str
    value_degc: Number | None = None
    """Absent: the value of the moment in which it starts."""


class TemperatureOpen(Injection):
    """A temperature sensor is open: not available."""

    fault: Literal["temperature_open"]
    sensor: str


class CurrentOffset(Injection):
    """The current sensor has an offset; its charge counter too."""

    fault: Literal["current_offset"]
    offset_a: Number


class CurrentGain(Injection):
    """The current sensor multiplies by a gain; its charge counter too."""

    fault: Literal["current_gain"]
    gain: Number


class CurrentStuck(Injection):
    """The current sensor repeats a value."""

    fault: Literal["current_stuck"]
    value_a: Number | None = None
    """Absent: the value of the moment in which it starts."""


class DropMessage(Injection):
    """Frames of a message get lost."""

    fault: Literal["drop_message"]
    message: str
    """Name in the DBC; may hold ``*``."""
    probability: Annotated[Number, Field(gt=0, le=1)] = 1.0


class WrongChecksum(Injection):
    """A message has a wrong checksum."""

    fault: Literal["wrong_checksum"]
    message: str


class FrozenCounter(Injection):
    """The alive counter of a message stands still."""

    fault: Literal["frozen_counter"]
    message: str


class SilentBus(Injection):
    """The device sends nothing, and hears nothing."""

    fault: Literal["silent_bus"]


class ContactorWelded(Injection):
    """A contactor does not open once it is closed."""

    fault: Literal["contactor_welded"]
    contactor: Contactor


class ContactorFailsToClose(Injection):
    """A contactor does not close."""

    fault: Literal["contactor_fails_to_close"]
    contactor: Contactor


class ContactorFeedback(Injection):
    """The auxiliary contact says something of its own."""

    fault: Literal["contactor_feedback"]
    contactor: Contactor
    value: Literal["open", "closed", "unknown"]


class PrechargeResistorOpen(Injection):
    """The precharge resistor is burnt out."""

    fault: Literal["precharge_resistor_open"]


class Insulation(Injection):
    """The insulation resistance has this value."""

    fault: Literal["insulation"]
    resistance_ohm: NonNegative


class InsulationUnknown(Injection):
    """The insulation monitor has stopped."""

    fault: Literal["insulation_unknown"]


class InterlockOpen(Injection):
    """The interlock loop is broken."""

    fault: Literal["interlock_open"]


class EmergencyStop(Injection):
    """The emergency stop is pressed."""

    fault: Literal["emergency_stop"]


class Smoke(Injection):
    """The smoke detector gives alarm."""

    fault: Literal["smoke"]


class ChargingPlug(Injection):
    """The charging plug is in or out."""

    fault: Literal["charging_plug"]
    plugged: bool


class Ignition(Injection):
    """The key is on or off."""

    fault: Literal["ignition"]
    switched_on: bool


class SupplyVoltage(Injection):
    """The 12 V supply has this value."""

    fault: Literal["supply_voltage"]
    value_v: NonNegative


class BleedStuckOn(Injection):
    """The bleed resistor of a cell cannot be switched off; the device says so."""

    fault: Literal["bleed_stuck_on"]
    cell: Cell


class HeaterStuckOn(Injection):
    """The heater runs at full power whatever it is told."""

    fault: Literal["heater_stuck_on"]


class Jitter(Injection):
    """The frames of a scan come late by a random time up to this one."""

    fault: Literal["jitter"]
    maximum_s: Annotated[Number, Field(gt=0, le=10)]


AnyInjection = (
    CellVoltageOffset | CellVoltageStuck | CellOpenWire | CellInternalShort | TemperatureOffset
    | TemperatureStuck | TemperatureOpen | CurrentOffset | CurrentGain | CurrentStuck | DropMessage
    | WrongChecksum | FrozenCounter | SilentBus | ContactorWelded | ContactorFailsToClose
    | ContactorFeedback | PrechargeResistorOpen | Insulation | InsulationUnknown | InterlockOpen
    | EmergencyStop | Smoke | ChargingPlug | Ignition | SupplyVoltage | BleedStuckOn | HeaterStuckOn | Jitter
)  # fmt: skip

FAULTS: dict[str, type[Injection]] = {
    kind.model_fields["fault"].annotation.__args__[0]: kind for kind in AnyInjection.__args__
}
"""Every kind of injection by its name."""

_ADAPTERS = {name: TypeAdapter(kind) for name, kind in FAULTS.items()}


class Injections:
    """A list of injections that is in force since a moment.

    Parameters
    ----------
    items : list of Injection
        See :func:`parse_injections`.
    set_at_s : float
        Monotonic time at which they were set [s].
    """

    def __init__(self, items: list[Any] | None = None, set_at_s: float = 0.0) -> None:
        self._items = items or []
        self._set_at_s = set_at_s
        self._active: list[Any] = []
        self._held: dict[tuple[int, Any], float] = {}

    def at(self, now_s: float) -> Injections:
        """Note which of them act at this monotonic time [s]; gives itself."""
        since = now_s - self._set_at_s
        self._active = [item for item in self._items if item.active(since)]
        if len(self._active) < len(self._items):
            acting = {id(item) for item in self._active}
            self._held = {key: value for key, value in self._held.items() if key[0] in acting}
        return self

    def of(self, *kinds: type[Injection]) -> list[Any]:
        """Give those of some kinds that act now, in the order of the list."""
        return [item for item in self._active if isinstance(item, kinds)] if self._active else []

    def acts(self, kind: type[Injection]) -> bool:
        """Tell whether one of this kind acts now."""
        return bool(self.of(kind))

    def message(self, kind: type[Injection], name: str) -> Any | None:
        """Give the injection of this kind that names a message, or None."""
        for item in self.of(kind):
            if fnmatch.fnmatchcase(name, item.message):
                return item
        return None

    def hold(self, item: Injection, key: Any, value: float) -> float:
        """Give the value that was passed when this injection began."""
        return self._held.setdefault((id(item), key), value)


def parse_injections(text: str, *, cells: int, sensors: list[str], messages: list[str]) -> list[Any]:
    """Read a list of injections from YAML or JSON text.

    Parameters
    ----------
    text : str
        The list; empty text is the empty list.
    cells : int
        Number of cells of the pack.
    sensors, messages : list of str
        Names of its temperature sensors, and of the device's messages.

    Returns
    -------
    list of Injection

    Raises
    ------
    InjectionError
        The text is no such list; one sentence says which entry, which key, and what would be right.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise InjectionError(f"injections: not valid YAML or JSON: {what}.") from None
    if data is None:
        return []
    if not isinstance(data, list):
        raise InjectionError("injections: must be a list such as [{fault: emergency_stop}].")
    return [_one(number, entry, cells, sensors, messages) for number, entry in enumerate(data)]


def _one(number: int, entry: Any, cells: int, sensors: list[str], messages: list[str]) -> Any:
    head = f"injections[{number}]"
    kind = entry.get("fault") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in _ADAPTERS:
        raise InjectionError(f"{head}: fault must be one of {', '.join(FAULTS)}, but it is {kind!r}.")
    try:
        item = _ADAPTERS[kind].validate_python(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or kind
        known = ", ".join(FAULTS[kind].model_fields)
        raise InjectionError(f"{head}.{key}: {first['msg'].lower()}; {kind} has the keys {known}.") from None
    cell = getattr(item, "cell", None)
    if cell is not None and cell >= cells:
        raise InjectionError(f"{head}.cell: {cell} does not exist, the last cell is {cells - 1}.")
    for key, names in (("sensor", sensors), ("message", messages)):
        pattern = getattr(item, key, None)
        if pattern is not None and not fnmatch.filter(names, pattern):
            raise InjectionError(
                f"{head}.{key}: nothing is called {pattern!r}; there are {', '.join(names)}."
            )
    return item
