"""The final limits: the smallest of fresh power limits, the raw voltage and temperature table, faults and
ratings.

Which horizon: limits are renewed ten times a second and expire within half a second, so a user asks "how
much may I take now and go on taking until you tell me less?". The 2 s limit would fall away faster than a
drive can follow without a jerk; the continuous one forbids every overtaking. The 10 s limit can be held
while it is followed down, so it is the one used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from openbms_control.safety.readings import CLOSED_STATES, PackFacts
from openbms_core.pack import LimitTriple
from openbms_core.types import FinalLimits, PackMeasurement, PowerLimits, State, Validity

__all__ = [
    "HORIZON_S",
    "REASONS",
    "RECOVERY_TIME_S",
    "LimitCalculator",
    "LimitInputs",
    "derating",
    "reason_text",
    "usable",
]

HORIZON_S = 10.0
"""Horizon of ``power_limits`` that is used (see above)."""
RECOVERY_TIME_S = 5.0
"""A limit needs this long to rise from zero to the full rating: recovery is slow, derating is at once."""

REASONS: dict[str, str] = {
    "current_rating": "the operating current of the pack file is the smallest of all limits",
    "cell_voltage_high": "the highest cell is above the operating voltage: charging falls to zero at the "
    "recommended limit",
    "cell_voltage_low": "the lowest cell is below the operating voltage: discharging falls to zero at the "
    "recommended limit",
    "temperature_high": "the hottest cell is above the operating temperature of this direction",
    "temperature_low": "the coldest cell is below the operating temperature of this direction",
    "cell_voltage_unknown": "a cell voltage is not valid: what is unknown is not used",
    "temperature_unknown": "a cell temperature is not valid, or the pack measures none",
    "string_voltage_unknown": "the voltage is not valid, so that no power can be stated",
    "estimator": "the estimator's 10 s limit binds",
    "limp_home": "no fresh power limits: the limp-home values of the pack file hold",
    "device_limit": "the device itself allows no more",
    "fault": "a fault of the fault table takes the limit, or a part of it",
    "recovering": "the limit rises slowly after it was smaller",
    "zero_current_requested": "the contactors are about to open",
    "measurement_lost": "no fresh measurement",
    "state": "the state allows no current in this direction",
}
"""Reason codes of ``charge_reason`` and ``discharge_reason``, before any colon, and what they mean."""


@dataclass(frozen=True)
class LimitInputs:
    """What the limits are computed from.

    Attributes
    ----------
    state : State
    zero_current_requested : bool
    closed_strings : int
        Strings that carry current.
    measurement : PackMeasurement or None
        The last scan; None if there is none or it is stale.
    power_limits : PowerLimits or None
        None if there are none, they have expired, or they are not ``usable``.
    charge_fault, discharge_fault : tuple of float and str
        What faults leave of the limit (0 to 1), and the identifier of the row that binds.
    shutdown_in_s : float
        Time until the limp-home shutdown; NaN if none is running.
    """

    state: State
    zero_current_requested: bool
    closed_strings: int
    measurement: PackMeasurement | None
    power_limits: PowerLimits | None
    charge_fault: tuple[float, str]
    discharge_fault: tuple[float, str]
    shutdown_in_s: float


def derating(value: float, triple: LimitTriple, *, upper: bool) -> float:
    """Give what is left of a limit: 1 up to the operating limit, 0 from the recommended limit on, linear
    between.

    Parameters
    ----------
    value : float
        Worst value; NaN gives 0, since nothing is granted on what is unknown.
    triple : LimitTriple
    upper : bool
        It limits from above.
    """
    if math.isnan(value):
        return 0.0
    sign = 1.0 if upper else -1.0
    beyond, width = sign * (value - triple.operating), sign * (triple.recommended - triple.operating)
    if beyond <= 0.0:
        return 1.0
    return max(0.0, 1.0 - beyond / width) if width > 0.0 else 0.0


Bound = tuple[float, str]


@dataclass(frozen=True)
class _Estimate:
    """The estimator's limit of one direction at the horizon that is used."""

    current_a: float
    power_w: float
    reason: str


def _estimate(given: PowerLimits | None, charge: bool, share: float = 1.0) -> _Estimate | None:
    """Give the estimator's limit at the horizon, None where it is unknown; it is for all strings, of which
    this share is closed.
    """
    if given is None:
        return None
    amps = given.charge_current_a if charge else given.discharge_current_a
    watts = given.charge_power_w if charge else given.discharge_power_w
    reasons = given.charge_reason if charge else given.discharge_reason
    if not len(given.horizons_s) == len(amps) == len(watts) == len(reasons) or not len(amps):
        return None
    far = np.where(given.horizons_s >= HORIZON_S - 1e-3, given.horizons_s, np.inf)
    # without so long a horizon the longest there is
    at = int(np.argmin(far)) if np.isfinite(far).any() else int(np.argmax(given.horizons_s))
    current, power = float(amps[at]), float(watts[at])
    if math.isnan(current) or math.isnan(power):
        return None
    return _Estimate(share * max(current, 0.0), share * max(power, 0.0), reasons[at])


def usable(given: PowerLimits | None) -> bool:
    """Tell whether the estimator states both directions; one that says "unknown" is as good as none."""
    return _estimate(given, True) is not None and _estimate(given, False) is not None


class LimitCalculator:
    """Compute the final limits; the only state is the ramp of recovery.

    Parameters
    ----------
    facts : PackFacts
    """

    def __init__(self, facts: PackFacts) -> None:
        self._facts, pack = facts, facts.pack
        self._pack, self._limits = pack, pack.limits
        self._valid_for_s = pack.contactors.command_valid_for_s
        self._before: dict[bool, float | None] = {True: None, False: None}
        self._before_s = -math.inf

    def step(self, inputs: LimitInputs, t_s: float) -> FinalLimits:
        """Compute the limits now.

        Parameters
        ----------
        inputs : LimitInputs
        t_s : float
            Monotonic time [s], for the ramp of recovery.
        """
        charge, charge_w, charge_reason = self._direction(inputs, True, t_s)
        discharge, discharge_w, discharge_reason = self._direction(inputs, False, t_s)
        self._before_s = t_s
        limp_home = inputs.state in CLOSED_STATES and inputs.power_limits is None
        texts = [f"Charge: {reason_text(charge_reason)}.", f"Discharge: {reason_text(discharge_reason)}."]
        if math.isfinite(inputs.shutdown_in_s):
            texts.append(
                f"The pack shuts down in {inputs.shutdown_in_s:.0f} s unless power limits come back."
            )
        return FinalLimits(
            charge_current_a=charge, discharge_current_a=discharge, charge_power_w=charge_w,
            discharge_power_w=discharge_w, charge_reason=charge_reason, discharge_reason=discharge_reason,
            explanation=" ".join(texts), limp_home=limp_home, shutdown_in_s=inputs.shutdown_in_s,
            valid_for_s=self._valid_for_s,
        )  # fmt: skip

    def _direction(self, inputs: LimitInputs, charge: bool, t_s: float) -> tuple[float, float, str]:
        denied = self._denied(inputs, charge)
        if denied or inputs.measurement is None:
            # the first limit after the contactors have closed is not a recovery; one after a fault is
            self._before[charge] = None if denied.startswith("state:") else 0.0
            return 0.0, 0.0, denied
        current, reason = min(self._currents(inputs, inputs.measurement, charge))
        current, reason = self._ramped(current, reason, inputs, charge, t_s)
        power, power_reason = self._power(current, inputs, inputs.measurement, charge)
        return current, power, reason if power > 0.0 or current == 0.0 else power_reason

    @staticmethod
    def _denied(inputs: LimitInputs, charge: bool) -> str:
        """Give why nothing at all is allowed in this direction; empty where something is."""
        if inputs.state not in CLOSED_STATES or (inputs.state == State.CHARGE and not charge):
            return f"state:{inputs.state.name}"
        factor, fault = inputs.charge_fault if charge else inputs.discharge_fault
        if factor == 0.0:
            return f"fault:{fault}"
        if inputs.zero_current_requested:
            return "zero_current_requested"
        return "measurement_lost" if inputs.measurement is None else ""

    def _currents(self, inputs: LimitInputs, m: PackMeasurement, charge: bool) -> list[Bound]:
        """Give every bound of the current [A] with its reason."""
        limits, strings = self._limits, inputs.closed_strings
        rating = (
            strings * (limits.charge_current_max_a if charge else limits.discharge_current_max_a).operating
        )
        factor, fault = inputs.charge_fault if charge else inputs.discharge_fault
        bounds = (
            [(rating, "current_rating"), (factor * rating, f"fault:{fault}")]
            if fault
            else [(rating, "current_rating")]
        )
        bounds += [(share * rating, reason) for share, reason in self._table(m, charge)]
        estimate = _estimate(inputs.power_limits, charge, strings / self._facts.strings)
        if estimate is None:
            limp = limits.limp_home
            per_string = limp.charge_current_a if charge else limp.discharge_current_a
            bounds.append((per_string * strings, "limp_home"))
        else:
            bounds.append((estimate.current_a, f"estimator:{estimate.reason}"))
        own = m.reported_charge_current_limit_a if charge else m.reported_discharge_current_limit_a
        if m.reported_limit_validity == Validity.VALID and math.isfinite(own):
            bounds.append((max(own, 0.0), "device_limit"))
        return bounds

    def _table(self, m: PackMeasurement, charge: bool) -> list[Bound]:
        """Give the raw derating table: what each voltage and temperature leaves of the rating (0 to 1)."""
        limits, facts = self._limits, self._facts
        unknown: list[Bound] = []
        values = facts.values(m)
        # a device answers for cells that it does not show only while it says what it allows
        left_to_device = facts.cells_left_to_device and m.reported_limit_validity == Validity.VALID
        cells_lost = values.lost_cells is not None and m.reported_cell_voltage_validity != Validity.VALID
        if cells_lost and not left_to_device:
            unknown.append((0.0, "cell_voltage_unknown"))
        sensors = values.temperatures[facts.cell_sensors]
        if (
            not (len(sensors) and np.isfinite(sensors).all())
            and m.reported_temperature_validity != Validity.VALID
        ):
            unknown.append((0.0, "temperature_unknown"))
        if unknown:
            return unknown
        hottest, coldest = values.hottest[0], values.coldest[0]
        if charge:
            voltage = (
                derating(values.highest_cell[0], limits.cell_voltage_max_v, upper=True),
                "cell_voltage_high",
            )
            hot, cold = limits.charge_temperature_max_degc, limits.charge_temperature_min_degc
        else:
            voltage = (
                derating(values.lowest_cell[0], limits.cell_voltage_min_v, upper=False),
                "cell_voltage_low",
            )
            hot, cold = limits.discharge_temperature_max_degc, limits.discharge_temperature_min_degc
        shares = [
            (1.0, "") if left_to_device else voltage,
            (derating(hottest, hot, upper=True), "temperature_high"),
            (derating(coldest, cold, upper=False), "temperature_low"),
        ]
        return [(share, reason) for share, reason in shares if share < 1.0]

    def _ramped(self, current: float, reason: str, inputs: LimitInputs, charge: bool, t_s: float) -> Bound:
        rating = (
            self._limits.charge_current_max_a if charge else self._limits.discharge_current_max_a
        ).operating
        before = self._before[charge]
        if before is not None:
            step = rating * inputs.closed_strings * max(0.0, t_s - self._before_s) / RECOVERY_TIME_S
            if current > before + step:
                current, reason = before + step, "recovering"
        self._before[charge] = current
        return current, reason

    def _power(self, current: float, inputs: LimitInputs, m: PackMeasurement, charge: bool) -> Bound:
        """Give the power [W] at that current and the present voltage, bounded by the estimator's own.

        For charging the present voltage understates it; for discharging the current limit holds beside it.
        """
        values = self._facts.values(m)
        strings = values.string_voltages
        if np.isfinite(strings).all():
            voltage = float(strings.min())
        elif values.lost_cells is None:
            voltage = float(values.cell_sums.min())
        else:
            return 0.0, "string_voltage_unknown"
        power = current * max(voltage, 0.0)
        estimate = _estimate(inputs.power_limits, charge, inputs.closed_strings / self._facts.strings)
        return (power if estimate is None else min(power, estimate.power_w)), "estimator:power"


def reason_text(reason: str) -> str:
    """Give a reason code in words."""
    code, _, detail = reason.partition(":")
    return REASONS[code] + (f" ({detail})" if detail else "")
