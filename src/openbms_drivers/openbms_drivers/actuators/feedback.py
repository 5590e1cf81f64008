"""What the actuators of all buses report, as one feedback of the pack."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from openbms_core.types import ActuatorFeedback
from openbms_drivers.actuators.unit import UnitReport

__all__ = ["joined"]


def joined(reports: Sequence[UnitReport], valid_for_s: float) -> ActuatorFeedback:
    """Join the reports of the units of a pack.

    Parameters
    ----------
    reports : sequence of UnitReport
        One a bus.
    valid_for_s : float
        Validity of the message [s].

    Returns
    -------
    ActuatorFeedback
        Currents of several chargers add; the voltage is the highest one.
    """
    chargers = [report for report in reports if report.has_charger]
    orders = [report.charge for report in chargers]
    auxiliary = [r.auxiliary_power_w for r in reports if not math.isnan(r.auxiliary_power_w)]
    return ActuatorFeedback(
        names=[name for report in reports for name in report.names],
        commanded=np.array([value for report in reports for value in report.commanded]),
        feedback=np.array([value for report in reports for value in report.feedback]),
        charger_enabled=any(order.enabled for order in orders),
        charger_voltage_commanded_v=max((order.voltage_v for order in orders), default=0.0),
        charger_current_commanded_a=sum(order.current_a for order in orders),
        charger_voltage_v=max((report.charger_voltage_v for report in chargers), default=math.nan),
        charger_current_a=sum(r.charger_current_a for r in chargers) if chargers else math.nan,
        auxiliary_power_w=sum(auxiliary) if auxiliary else math.nan,
        problems=[problem.text for report in reports for problem in report.problems],
        reason=next((order.reason for order in orders if order.reason), ""),
        valid_for_s=valid_for_s,
    )
