"""Limit triples and limp-home values, in the pack file."""

from __future__ import annotations

from pydantic import model_validator

from openbms_core.config_file import NonNegative, Number, Positive, StrictModel

__all__ = ["LimitTriple", "Limits", "LimpHome"]


class LimitTriple(StrictModel):
    """Three nested limits of one quantity (foxBMS: MOL, RSL, MSL)."""

    operating: Number
    """Beyond it power is derated."""
    recommended: Number
    """Beyond it power is zero in the direction that makes it worse."""
    safety: Number
    """Beyond it the contactors open."""


class LimpHome(StrictModel):
    """What is allowed when the estimator's power limits stay away, judged on raw measurements alone."""

    charge_current_a: NonNegative = 0.0
    discharge_current_a: NonNegative
    shutdown_after_s: Positive = 300.0
    """After this time in limp-home current must be zero and the contactors open."""


class Limits(StrictModel):
    """Limit triples of the pack; magnitudes per string, temperatures in degrees Celsius."""

    cell_voltage_max_v: LimitTriple
    cell_voltage_min_v: LimitTriple
    charge_current_max_a: LimitTriple
    discharge_current_max_a: LimitTriple
    charge_temperature_max_degc: LimitTriple
    charge_temperature_min_degc: LimitTriple
    discharge_temperature_max_degc: LimitTriple
    discharge_temperature_min_degc: LimitTriple
    current_deadband_a: Positive
    """Below this magnitude no current flows, as far as the direction of temperature limits goes."""
    limp_home: LimpHome
    cells_left_to_device: bool = False
    """For a battery that shows no cell, neither each nor the extremes: its own current limits are trusted to
    spare its cells, as long as they are fresh. False: what shows no cell is allowed no current."""

    @model_validator(mode="after")
    def _nested(self) -> Limits:
        for name in type(self).model_fields:
            triple = getattr(self, name)
            if not isinstance(triple, LimitTriple):
                continue
            values = (triple.operating, triple.recommended, triple.safety)
            ordered = tuple(sorted(values, reverse="_min_" in name))
            if values != ordered:
                order = ">=" if "_min_" in name else "<="
                raise ValueError(
                    f"{name}: operating {order} recommended {order} safety must hold, but they are {values}"
                )
        if self.cell_voltage_min_v.operating >= self.cell_voltage_max_v.operating:
            raise ValueError("cell_voltage_min_v.operating must be below cell_voltage_max_v.operating")
        return self

    def triples(self) -> dict[str, LimitTriple]:
        """Give every limit triple by its name (with its unit as suffix)."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in named.items() if isinstance(value, LimitTriple)}
