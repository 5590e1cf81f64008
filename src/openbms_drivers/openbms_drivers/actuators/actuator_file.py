"""The file of actuators on one bus: their DBC and which signal is what, as a pack file says it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

from pydantic import Field, model_validator

from openbms_core.config_file import Integer, Positive, StrictModel, Unit
from openbms_core.pack_device import Count, Name
from openbms_drivers.gateway.gateway_file import GatewayFile, LoadedGateway, load_gateway

__all__ = ["KINDS", "Actuator", "ActuatorFile", "Charger", "Pilot", "kind_of", "load_actuators"]

KINDS = ("heater", "pump", "fan", "chiller")
"""What an actuator's name begins with, as in the pack file's ``topology.actuators``: fan_1 is a fan."""


def kind_of(name: str) -> str | None:
    """Give the kind of an actuator by its name; None if it is none of them."""
    return next((kind for kind in KINDS if name.lower().startswith(kind)), None)


class Actuator(StrictModel):
    """How an actuator is judged by its feedback."""

    tolerance: Annotated[Unit, Field(gt=0)] = 0.2
    """What told and reported value may differ by [0 to 1 of full scale]."""
    obeys_within_s: Positive = 10.0
    """A difference that lasts longer is said."""


class Pilot(StrictModel):
    """Mains current that the control pilot of the charging station offers, as a limit of the charger."""

    mains_voltage_v: Positive
    phases: Annotated[Integer, Field(ge=1, le=3)] = 1
    efficiency: Annotated[Unit, Field(gt=0)] = 1.0
    """Of the charger: its output power in parts of its input power."""


class Charger(StrictModel):
    """What the charger can do, and how it is judged."""

    count: Count = 1
    """So many equal chargers in parallel, each with signals of its own: each is told its part."""
    voltage_max_v: Positive | None = None
    """Never told more than this; absent: the pack's own maximum alone."""
    current_max_a: Positive | None = None
    """The same for the current of each; absent: the pack's limit alone."""
    current_tolerance_a: Positive = 1.0
    obeys_within_s: Positive = 6.0
    follows_pilot: Pilot | None = None
    """Absent: the control pilot does not bind it (the charger itself obeys it, or there is none)."""


class ActuatorFile(GatewayFile):
    """Model of the file of actuators on one bus.

    Attributes
    ----------
    actuators : dict of str to Actuator
        By name, as in the pack file.
    charger : Charger or None
        The charger on this bus, or several in parallel.
    """

    actuators: dict[Name, Actuator] = Field(default_factory=dict)
    charger: Charger | None = None

    @model_validator(mode="after")
    def _something(self) -> ActuatorFile:
        if not self.actuators and self.charger is None:
            raise ValueError("there is neither an actuator nor a charger: name what is on this bus")
        for name in self.actuators:
            if kind_of(name) is None:
                raise ValueError(
                    f"actuators.{name}: its name says what it is, so it begins with one of "
                    f"{', '.join(KINDS)}, such as fan_2"
                )
        return self

    def inputs(self) -> frozenset[str]:
        """Give the quantities that its signals can be mapped to."""
        own = {f"{name}_{what}" for name in self.actuators for what in ("feedback", "running", "fault")}
        if self.charger is not None:
            own |= {"charger_voltage_v", "charger_current_a", "charger_fault"}
        return frozenset(own | {"auxiliary_power_w"})

    def outputs(self) -> frozenset[str]:
        """Give the values that can be sent."""
        own = {sent for name in self.actuators for sent in (name, f"{name}_on")}
        if self.charger is not None:
            own |= {
                "charger_enabled", "charger_voltage_limit_v", "charger_current_limit_a",
                "charger_power_limit_w",
            }  # fmt: skip
        return frozenset(own)


def load_actuators(reference: str, beside: Path | None = None) -> LoadedGateway:
    """Load a file of actuators; its ``file`` is an :class:`ActuatorFile`.

    Raises
    ------
    ConfigError
        The file is absent or wrong, or names an actuator that no command tells anything.
    """
    gateway = load_gateway(
        reference,
        lambda file: cast(ActuatorFile, file).inputs(),
        lambda file: cast(ActuatorFile, file).outputs(),
        beside,
        ActuatorFile,
    )
    file = cast(ActuatorFile, gateway.file)
    sent = {signal.source for message in file.device.commands for signal in message.signals}
    for name in file.actuators:
        if not sent & {name, f"{name}_on"}:
            raise gateway.error(
                ("actuators", name),
                f"actuators.{name}: no signal of device.commands has the source '{name}' or '{name}_on', so "
                "it cannot be told anything. Add one, or remove it.",
            )
        if any(entry.to == f"{name}_feedback" for entry in file.device.signals) and any(
            entry.to == f"{name}_running" for entry in file.device.signals
        ):
            raise gateway.error(
                ("actuators", name),
                f"actuators.{name}: both {name}_feedback (0 to 1) and {name}_running (on or off) are mapped. "
                "Remove one.",
            )
    if file.charger is not None:
        _check_charger(gateway, file.charger)
    return gateway


def _check_charger(gateway: LoadedGateway, charger: Charger) -> None:
    sources = [signal.source for message in gateway.file.device.commands for signal in message.signals]
    bounds = [sources.count(name) for name in ("charger_current_limit_a", "charger_power_limit_w")]
    if not any(bounds):
        raise gateway.error(
            ("charger",),
            "charger: no signal of device.commands has the source 'charger_current_limit_a' or "
            "'charger_power_limit_w', so nothing holds it to the pack's limits. Add one.",
        )
    if max(bounds) > charger.count:
        raise gateway.error(
            ("charger",),
            f"charger: count is {charger.count}, but {max(bounds)} signals send its limit, so that together "
            f"they would charge with more than the pack allows. Give count: {max(bounds)}.",
        )
