"""The actuators on one bus: what is sent to them, and what is said of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

from openbms_drivers.actuators.actuator_file import ActuatorFile, kind_of
from openbms_drivers.actuators.control import ActuatorControl, ChargeOrder
from openbms_drivers.actuators.watch import Lasting, Problem, actuator_problems, charger_problems
from openbms_drivers.frame import Frame
from openbms_drivers.gateway.gateway_file import LoadedGateway
from openbms_drivers.gateway.peer import Peer, Readings

__all__ = ["ActuatorUnit", "UnitReport"]

_NO_CHARGE = ChargeOrder(False, 0.0, 0.0, "")


@dataclass
class UnitReport:
    """What is said of the actuators on one bus.

    Attributes
    ----------
    names : list of str
        Actuators; ``commanded`` and ``feedback`` are as long [0 to 1; NaN if unknown].
    charge : ChargeOrder
        What the charger was told; nothing where there is none.
    charger_voltage_v, charger_current_a, auxiliary_power_w : float
        What is reported; NaN if unknown.
    problems : list of Problem
    """

    names: list[str] = field(default_factory=list)
    commanded: list[float] = field(default_factory=list)
    feedback: list[float] = field(default_factory=list)
    charge: ChargeOrder = _NO_CHARGE
    has_charger: bool = False
    charger_voltage_v: float = math.nan
    charger_current_a: float = math.nan
    auxiliary_power_w: float = math.nan
    problems: list[Problem] = field(default_factory=list)


class ActuatorUnit:
    """Reads and commands the actuators of one file.

    Parameters
    ----------
    gateway : LoadedGateway
        From :func:`~openbms_drivers.actuators.actuator_file.load_actuators`.
    bus_name : str
        ``interface:channel``, for sentences about the bus.
    control : ActuatorControl
        Decides; shared by the units of a pack.
    """

    def __init__(self, gateway: LoadedGateway, bus_name: str, control: ActuatorControl) -> None:
        self.file = cast(ActuatorFile, gateway.file)
        self.peer = Peer(gateway, bus_name, self.values)
        self._control = control
        self._lasting = Lasting()
        self._fault_names = {
            index: signal
            for entry in self.file.device.signals
            if entry.to == "charger_fault"
            for index, _, signal, _ in entry.expanded()
        }

    def values(self, now_s: float) -> dict[str, float]:
        """Give every value that can be sent, at a monotonic time; asked by the thread that sends."""
        duties = self._control.duties(now_s)._asdict()
        values: dict[str, float] = {}
        for name in self.file.actuators:
            duty = duties[kind_of(name) or ""]
            values[name], values[f"{name}_on"] = duty, float(duty > 0.0)
        if (charger := self.file.charger) is not None:
            order = self._order(self.peer.readings(now_s), now_s)
            each_a = order.current_a / charger.count
            values["charger_enabled"] = float(order.enabled)
            values["charger_voltage_limit_v"] = order.voltage_v
            values["charger_current_limit_a"] = each_a
            values["charger_power_limit_w"] = order.voltage_v * each_a
        return values

    def farewell(self, now_s: float, stamp_s: float = 0.0) -> list[Frame]:
        """Give the last frames: charger and heater off, the others at their safe values."""
        self._control.stopping = True
        return self.peer.sender.farewell(self.values(now_s), now_s, stamp_s)

    def _order(self, readings: Readings, now_s: float) -> ChargeOrder:
        assert self.file.charger is not None
        fault = 1.0 in readings.all("charger_fault")
        return self._control.charge(self.file.charger, now_s, charger_fault=fault)

    def report(self, now_s: float) -> UnitReport:
        """Give what is known of the actuators now."""
        readings, duties = self.peer.readings(now_s), self._control.duties(now_s)._asdict()
        report = UnitReport(auxiliary_power_w=_sum(readings.all("auxiliary_power_w")))
        for name, actuator in self.file.actuators.items():
            told = duties[kind_of(name) or ""]
            feedback = self._feedback(readings, name, told)
            report.names.append(name)
            report.commanded.append(told)
            report.feedback.append(feedback)
            report.problems += actuator_problems(
                name,
                told,
                feedback,
                fitted=readings.fitted(f"{name}_feedback") or readings.fitted(f"{name}_running"),
                fault=readings.value(f"{name}_fault"),
                tolerance=actuator.tolerance,
                within_s=actuator.obeys_within_s,
                lasting=self._lasting,
                now_s=now_s,
            )
        if (charger := self.file.charger) is not None:
            report.has_charger = True
            report.charge = self._order(readings, now_s)
            # several in parallel: one voltage, and their currents add
            report.charger_voltage_v = max(readings.all("charger_voltage_v"), default=math.nan)
            report.charger_current_a = _sum(readings.all("charger_current_a"))
            said = enumerate(readings.all("charger_fault"))
            report.problems += charger_problems(
                report.charger_current_a,
                report.charge.current_a,
                fitted=readings.fitted("charger_current_a"),
                faults=[self._fault_names[index] for index, value in said if value == 1.0],
                tolerance_a=charger.current_tolerance_a,
                within_s=charger.obeys_within_s,
                lasting=self._lasting,
                now_s=now_s,
            )
        return report

    @staticmethod
    def _feedback(readings: Readings, name: str, told: float) -> float:
        if readings.fitted(f"{name}_feedback"):
            return readings.value(f"{name}_feedback")
        running = readings.value(f"{name}_running")
        # on or off says nothing of the duty: one that runs as it was told runs at what it was told
        return told if running == 1.0 and told > 0.0 else running


def _sum(values: list[float]) -> float:
    return math.fsum(values) if values else math.nan
