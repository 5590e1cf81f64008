"""What a source of pack behaviour (plant or replay) is given, and what it gives, each tick."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Inputs", "Readings", "RunawayOrder", "Source", "Truth"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def _no_contactor() -> BoolArray:
    return np.zeros((1, 3), bool)


@dataclass(frozen=True)
class RunawayOrder:
    """A cell that goes into thermal runaway (see :mod:`openbms_sim.plant.runaway`)."""

    cell: int
    short_ohm: float
    ramp_s: float
    self_heating: bool = True


@dataclass
class Inputs:
    """What acts on the pack during a tick."""

    closed: BoolArray = field(default_factory=_no_contactor)
    """Real contacts, shape (strings, 3): positive, negative, precharge."""
    zero_current: bool = True
    """The load must be off."""
    load_current_a: float = 0.0
    """What the vehicle wants (negative) or brakes (positive) [A], already within the limits."""
    charger_enable: bool = False
    charger_voltage_v: float = 0.0
    charger_current_a: float = 0.0
    bleed: BoolArray | None = None
    """Bleed resistors that are on, shape (cells,)."""
    heater: float = 0.0
    pump: float = 0.0
    fan: float = 0.0
    chiller: float = 0.0
    precharge_open: bool = False
    """The precharge resistor is burnt out."""
    short_ohm: FloatArray | None = None
    """Internal short of each cell [Ω], infinite where there is none, shape (cells,)."""
    connection_ohm: FloatArray | None = None
    """Resistance that the connection above each cell has beside its own [Ω], shape (cells,)."""
    coolant: float = 1.0
    """Part of the coolant flow that the pump would make which really flows."""
    link_load_ohm: float = float("inf")
    """Something on the link that draws current all the time [Ω]."""
    runaways: tuple[RunawayOrder, ...] = ()
    """Cells in thermal runaway; when one is not in it any more the pack is as it was before."""


@dataclass
class Readings:
    """True physical values over a tick (means for voltages and current, the end for the rest)."""

    cell_voltages_v: FloatArray
    cell_surface_degc: FloatArray
    string_currents_a: FloatArray
    string_voltages_v: FloatArray
    link_voltage_v: float
    ambient_degc: float
    coolant_in_degc: float
    coolant_out_degc: float
    coolant_flow_l_per_min: float
    auxiliary_power_w: float
    actuators: tuple[float, float, float, float]
    """Heater, pump, fan, chiller as they really run, 0 … 1."""
    pressure_pa: float = 101_325.0
    gas: bool = False
    smoke: bool = False


@dataclass
class Truth:
    """What no sensor sees; NaN where nobody knows."""

    cell_soc: FloatArray
    cell_capacity_ah: FloatArray
    cell_core_degc: FloatArray
    test_time_s: float = float("nan")
    test_duration_s: float = float("nan")
    finished: bool = False


class Source(Protocol):
    """The plant, or a recorded test."""

    name: str
    cell_count: int

    def step(self, inputs: Inputs, dt_s: float) -> Readings:
        """Advance by ``dt_s`` seconds of simulated time."""
        ...

    def truth(self) -> Truth:
        """Give the truth at the end of the last step."""
        ...

    def condition(self, cell: int | None = None) -> dict[str, float]:
        """Give ``soc`` and ``temperature_degc`` (means, or of one cell), and ``ambient_degc``."""
        ...

    def put(
        self,
        *,
        soc: float | None = None,
        temperature_degc: float | None = None,
        ambient_degc: float | None = None,
        cell: int | None = None,
    ) -> None:
        """Put the pack, or one cell of it, into a condition; a recorded test does not hear it."""
        ...
