"""Sign of a current by the reaction of the voltage: a battery's voltage rises when it is charged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SignVerdict", "sign_by_charge", "sign_by_voltage"]

Floats = NDArray[np.float64]

NEEDED_CHANGES = 8
NEEDED_AGREEMENT = 0.8
_NEEDED_CORRELATION = 0.35
_CLEAR_CHANGES = 3
"""So many are enough where the current goes up and down and the voltage follows it closely."""
_LAG = 3
"""A change is taken over so many pieces of time: one in the middle of a piece, or a voltage that comes late,
then counts whole in most of them."""


@dataclass(frozen=True)
class SignVerdict:
    """What the log says of the sign of a current.

    Attributes
    ----------
    sign : int
        1: positive charges; -1: positive discharges; 0: the log does not say.
    changes : int
        Changes of current that could be judged.
    agreeing : float
        Share of them that speaks for the sign that most speak for.
    resistance_ohm : float
        Change of voltage by change of current (negative where positive discharges); NaN where unknown.
    text : str
        The verdict as a sentence without full stop.
    """

    sign: int
    changes: int
    agreeing: float
    resistance_ohm: float
    text: str


def _binned(times: Floats, values: Floats, edges: Floats) -> Floats:
    place = np.digitize(times, edges) - 1
    inside = (place >= 0) & (place < len(edges) - 1)
    count = np.bincount(place[inside], minlength=len(edges) - 1)
    total = np.bincount(place[inside], weights=values[inside], minlength=len(edges) - 1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _typical_step(times: Floats) -> float:
    return float(np.median(np.diff(times))) if len(times) > 2 else 1.0


def sign_by_voltage(current_t: Floats, current: Floats, voltage_t: Floats, voltage: Floats) -> SignVerdict:
    """Judge the sign of a current by how the voltage follows its changes.

    Parameters
    ----------
    current_t, current : array
        Times [s] and values [A].
    voltage_t, voltage : array
        Times [s] and values [V] of the pack or of a cell.

    Returns
    -------
    SignVerdict

    Notes
    -----
    Both are averaged over equal pieces of time, long enough for four values of each. Over three pieces the
    current must change by a twentieth of its range at least; the change of voltage over it is a resistance,
    whose sign is the sign of the current. Changes of voltage below a quarter of its smallest step are left
    out.
    """
    nothing = np.nan
    if len(current) < 4 or len(voltage) < 4:
        return SignVerdict(0, 0, 0.0, nothing, "not enough values of current and voltage in the log")
    width = max(0.25, 4.0 * _typical_step(current_t), 4.0 * _typical_step(voltage_t))
    first, last = max(current_t[0], voltage_t[0]), min(current_t[-1], voltage_t[-1])
    if last - first < 4.0 * width:
        return SignVerdict(
            0,
            0,
            0.0,
            nothing,
            f"current and voltage are together in the log for {max(0.0, last - first):.1f} s only",
        )
    edges = np.arange(first, last + width, width)
    amps, volts = _binned(current_t, current, edges), _binned(voltage_t, voltage, edges)
    low, high = np.nanpercentile(current, [1, 99])
    swing = float(high - low)
    steps = np.diff(np.unique(voltage))
    quantum = float(steps.min()) if len(steps) else 0.0
    d_amps, d_volts = amps[_LAG:] - amps[:-_LAG], volts[_LAG:] - volts[:-_LAG]
    usable = np.isfinite(d_amps) & np.isfinite(d_volts) & (np.abs(d_amps) >= max(0.05 * swing, 1e-9))
    if swing <= 0.0 or not usable.any():
        return SignVerdict(0, 0, 0.0, nothing, f"the current hardly changes ({low:g} to {high:g} A)")
    d_amps, d_volts = d_amps[usable], d_volts[usable]
    told = np.abs(d_volts) >= max(0.25 * quantum, 1e-6)
    d_amps_t, d_volts_t = d_amps[told], d_volts[told]
    changes = len(d_amps_t) // _LAG
    products = d_amps_t * d_volts_t
    scatter = float(np.sqrt((d_amps_t**2).sum() * (d_volts_t**2).sum()))
    correlation = float(products.sum() / scatter) if scatter else 0.0
    resistance = float(products.sum() / (d_amps_t**2).sum()) if changes else nothing
    sign = 1 if correlation > 0 else -1
    # large changes count more than small ones
    weights = np.abs(d_amps_t)
    agreeing = float(weights[np.sign(products) == sign].sum() / weights.sum()) if changes else 0.0
    both_ways = min((d_amps_t > 0).sum(), (d_amps_t < 0).sum()) >= _LAG
    clear = changes >= _CLEAR_CHANGES and both_ways and agreeing >= 0.95 and abs(correlation) >= 0.9
    if changes < NEEDED_CHANGES and not clear:
        return SignVerdict(
            0,
            changes,
            agreeing,
            nothing,
            f"not enough current changes that the voltage shows: {changes} of {NEEDED_CHANGES} (current "
            f"{low:g} to "
            f"{high:g} A, voltage in steps of {quantum:g} V)",
        )
    what = "rises" if sign > 0 else "falls"
    text = (
        f"the voltage {what} with the current at {agreeing:.0%} of {changes} changes "
        f"({abs(resistance) * 1e3:.3g} mOhm)"
    )
    if agreeing < NEEDED_AGREEMENT or abs(correlation) < _NEEDED_CORRELATION:
        return SignVerdict(0, changes, agreeing, resistance, f"the changes disagree: {text}")
    return SignVerdict(sign, changes, agreeing, resistance, text)


def sign_by_charge(current_t: Floats, current: Floats, soc_t: Floats, soc: Floats) -> SignVerdict:
    """Judge the sign of a current by where the state of charge goes.

    Parameters
    ----------
    current_t, current : array
        Times [s] and values [A].
    soc_t, soc : array
        Times [s] and values (0…1).

    Returns
    -------
    SignVerdict
        ``sign`` is 0 where the state of charge moves by less than a hundredth, or both ways.
    """
    if len(current) < 4 or len(soc) < 4:
        return SignVerdict(0, 0, 0.0, np.nan, "not enough values of current and state of charge in the log")
    first, last = max(current_t[0], soc_t[0]), min(current_t[-1], soc_t[-1])
    inside = (soc_t >= first) & (soc_t <= last)
    if inside.sum() < 2 or last <= first:
        return SignVerdict(0, 0, 0.0, np.nan, "current and state of charge are not together in the log")
    moved = float(soc[inside][-1] - soc[inside][0])
    span = float(np.ptp(soc[inside]))
    charge = float((0.5 * (current[1:] + current[:-1]) * np.diff(current_t)).sum())
    if abs(moved) < 0.01 or abs(moved) < 0.7 * span or charge == 0.0:
        return SignVerdict(0, 0, 0.0, np.nan, f"the state of charge moves by {moved:+.3f} only")
    sign = 1 if charge * moved > 0 else -1
    way = "rises" if moved > 0 else "falls"
    return SignVerdict(
        sign,
        1,
        1.0,
        np.nan,
        f"the state of charge {way} by {abs(moved):.3f} while {charge / 3600:+.3g} Ah flow",
    )
