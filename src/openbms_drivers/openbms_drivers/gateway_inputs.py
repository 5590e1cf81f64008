"""What gateways bring into the scan: key, stop and plug of a vehicle on its own bus, feedback of actuators.

A value from a topic takes the same way as one from a frame: it has a slot of the value table, an age and a
validity, and is stale when the gateway falls silent.
"""

from __future__ import annotations

import math

from openbms_core.pack import PackFile
from openbms_core.types import UNKNOWN, ActuatorFeedback, Validity, VehicleInputs
from openbms_drivers.value_table import ValueTable

__all__ = ["GatewayInputs"]

_SWITCHES = ("ignition", "interlock", "emergency_stop", "charging_plug")
_FEEDBACK = ("actuator_feedback", "auxiliary_power_w")


class GatewayInputs:
    """Puts what gateways say into the value table of a pack's driver.

    The setters may be called by another thread than the one that reads the table: each writes the value
    before its time and its outcome.

    Parameters
    ----------
    pack : PackFile
        ``gateway_inputs`` says what comes from gateways; nothing else is taken from them.
    table : ValueTable
        The driver's.
    """

    def __init__(self, pack: PackFile, table: ValueTable) -> None:
        self._table = table
        self._wanted = frozenset(pack.gateway_inputs)
        self._places = {name: i for i, name in enumerate(pack.topology.actuators)}
        for quantity in pack.gateway_inputs:
            for place in range(table.sizes[quantity]):
                table.fit(table.slot(quantity, place), pack.measurement.max_age_s[quantity])

    def needs(self, topic: str) -> bool:
        """Tell whether the pack takes something from a topic (``vehicle_inputs``, ``actuator_feedback``)."""
        return bool(self._wanted.intersection(_SWITCHES if topic == "vehicle_inputs" else _FEEDBACK))

    def take_vehicle(self, inputs: VehicleInputs, now_s: float) -> None:
        """Take what the vehicle says (monotonic time of reception)."""
        for name in _SWITCHES:
            if name in self._wanted:
                value = getattr(inputs, name)
                known = value in (0, 1)
                if not known and value != UNKNOWN:
                    raise ValueError(f"{name} is {value}; it must be 0, 1 or {UNKNOWN}")
                self._put(name, 0, float(value) if known else math.nan, inputs.valid_for_s, now_s)

    def take_actuators(self, feedback: ActuatorFeedback, now_s: float) -> str | None:
        """Take what actuators report; gives a sentence if there is one that the pack does not have."""
        unknown = [name for name in feedback.names if name not in self._places]
        if "actuator_feedback" in self._wanted:
            for name, value in zip(feedback.names, feedback.feedback, strict=True):
                if name in self._places:
                    self._put(
                        "actuator_feedback", self._places[name], float(value), feedback.valid_for_s, now_s
                    )
        if "auxiliary_power_w" in self._wanted:
            self._put("auxiliary_power_w", 0, feedback.auxiliary_power_w, feedback.valid_for_s, now_s)
        if unknown:
            return (
                f"actuator_feedback names '{unknown[0]}', which the pack file does not have in "
                "topology.actuators: ignored"
            )
        return None

    def _put(self, quantity: str, place: int, value: float, valid_for_s: float, now_s: float) -> None:
        table = self._table
        slot = table.slot(quantity, place)
        # what expires sooner than the pack's maximum age is as old already as that leaves time for
        # (what is no number is no time for which it counts)
        valid_for_s = valid_for_s if valid_for_s > 0.0 else 0.0
        received_s = now_s - max(table.max_age_s(slot) - valid_for_s, 0.0)
        if math.isfinite(value):
            table.values[slot] = value
            table.good_at[slot] = table.heard_at[slot] = received_s
            table.outcome[slot] = int(Validity.VALID)
        else:
            table.outcome[slot] = int(Validity.NOT_AVAILABLE)
            table.heard_at[slot] = received_s
