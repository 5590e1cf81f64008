"""Findings in words and physical units."""

from __future__ import annotations

import math
from dataclasses import dataclass

from openbms_core.types import DiagnosisFinding

__all__ = [
    "PhysicalScale",
    "cell_finding",
    "current_sensor_finding",
    "runaway_finding",
    "temperature_sensor_finding",
]


@dataclass(frozen=True)
class PhysicalScale:
    """What turns relative sizes into physical ones.

    Attributes
    ----------
    capacity_ah : float
        Of a string [Ah].
    cell_voltage_v : float
        Of the average cell now [V].
    """

    capacity_ah: float
    cell_voltage_v: float


def _percent(probability: float) -> str:
    return f"{100.0 * probability:.1f} %" if probability < 0.999 else "over 99.9 %"


def cell_finding(
    fault: str,
    cell: int,
    probability: float,
    size: float,
    size_std: float,
    since_s: float,
    alarm: bool,
    other: tuple[str, float],
    scale: PhysicalScale,
) -> DiagnosisFinding:
    """Describe a fault of a cell.

    Parameters
    ----------
    fault : str
        One of ``CELL_CLASSES``.
    cell : int
    probability : float
        Of this fault.
    size, size_std : float
        As in :class:`~openbms_estimation.diagnosis.cells.CellEvidence`.
    since_s : float
        Most likely onset [s, ROS time].
    alarm : bool
    other : tuple of str and float
        The next most likely fault, and its probability.
    scale : PhysicalScale

    Returns
    -------
    DiagnosisFinding
    """
    unit = ""
    if fault == "internal_short":
        leak_a, std_a = size * scale.capacity_ah, size_std * scale.capacity_ah
        ohm = scale.cell_voltage_v / max(leak_a, 1e-9)
        text = (
            f"cell {cell} loses {1000 * leak_a:.3g} ± {1000 * std_a:.2g} mA against the others, in use and "
            f"at rest, balancing subtracted: as a short of {ohm:.3g} Ω would"
        )
        size, size_std, unit = ohm, ohm * std_a / max(leak_a, 1e-9), "ohm"
    elif fault == "connection_resistance":
        size, size_std, unit = size / scale.capacity_ah, size_std / scale.capacity_ah, "ohm"
        text = (
            f"the voltage of cell {cell} has an additional part in proportion to the current, "
            f"{1000 * size:.3g} ± {1000 * size_std:.2g} mΩ, without relaxation or influence of temperature: "
            "a connection at its terminals"
        )
    elif fault == "resistance_growth":
        text = (
            f"the overpotential of cell {cell} has grown by {100 * size:.0f} ± {100 * size_std:.0f} % of an "
            "average cell's, with its relaxation and temperature"
        )
    elif fault == "capacity_loss":
        text = (
            f"cell {cell} moves further for the same charge: {100 * size:.1f} ± {100 * size_std:.1f} % less "
            "capacity than before against the others"
        )
    elif fault == "voltage_sensor":
        unit = "V"
        text = f"cell {cell} reads {1000 * size:+.1f} ± {1000 * size_std:.1f} mV off, at rest and under load"
    else:
        unit = "V"
        neighbour = "above" if size > 0 else "beside"
        text = (
            f"cell {cell} reads {1000 * size:+.0f} mV off and the cell {neighbour} it the opposite, their "
            "sum is right: the sense wire between them"
        )
    if other[1] > 0.05:
        text += f"; {other[0].replace('_', ' ')} cannot be excluded ({_percent(other[1])})"
    return DiagnosisFinding(
        fault, "cell", cell, probability, alarm, since_s, size, size_std, unit, f"{text}."
    )


def current_sensor_finding(
    string: int,
    gain: bool,
    probability: float,
    size: float,
    size_std: float,
    since_s: float,
    alarm: bool,
    scale: PhysicalScale,
) -> DiagnosisFinding:
    """Describe a fault of a string's current sensor; parameters as :func:`cell_finding`."""
    if gain:
        unit = ""
        text = (
            f"it counts {100 * size:+.1f} ± {100 * size_std:.1f} % too much charge for how the voltages move"
        )
    else:
        size, size_std, unit = size * scale.capacity_ah, size_std * scale.capacity_ah, "A"
        text = f"it reads {size:+.3g} ± {size_std:.2g} A too much charge current"
    return DiagnosisFinding(
        "current_sensor", "string", string, probability, alarm, since_s, size, size_std, unit,
        f"the charge that the current sensor of string {string} counts does not fit the rest voltages of all "
        f"cells alike: {text}.",
    )  # fmt: skip


def temperature_sensor_finding(
    sensor: int,
    name: str,
    stuck: bool,
    probability: float,
    size: float,
    size_std: float,
    since_s: float,
    alarm: bool,
) -> DiagnosisFinding:
    """Describe a fault of a temperature sensor; parameters as :func:`cell_finding`."""
    if stuck:
        unit = ""
        text = f"does not follow {100 * min(size, 1.0):.0f} % of what the other sensors and the heat do"
    else:
        unit = "K"
        text = f"reads {size:+.1f} ± {size_std:.1f} K off the other sensors, whatever the heat"
    return DiagnosisFinding(
        "temperature_sensor", "temperature_sensor", sensor, probability, alarm, since_s, size, size_std, unit,
        f"temperature sensor {name} {text}.",
    )  # fmt: skip


def runaway_finding(sensor: int, name: str, heat_w: float, heat_std_w: float) -> DiagnosisFinding:
    """Describe a warning of a beginning runaway; parameters as :func:`cell_finding`."""
    return DiagnosisFinding(
        "runaway", "temperature_sensor", sensor, math.nan, True, 0.0, heat_w, heat_std_w, "W",
        f"at temperature sensor {name} {heat_w:.2g} ± {heat_std_w:.1g} W are made that neither the current "
        "nor the surroundings explain: a cell there may begin to run away, or the sensor is wrong.",
    )  # fmt: skip
