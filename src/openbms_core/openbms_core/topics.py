"""The topic table: the one place that says which topics exist.

Node QoS, liveness, the recorder, the Foxglove server and the documentation derive from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DIAGNOSTICS", "TOPICS", "TOPIC_BY_NAME", "Topic", "absolute_name"]

Quality = Literal["latched", "reliable", "best_effort"]


@dataclass(frozen=True)
class Topic:
    """One row of the table.

    Attributes
    ----------
    name : str
        Relative to the pack's namespace; with a leading slash it is global.
    type : str
        ROS type as ``package/msg/Name``.
    publisher : str
        Node that publishes it.
    rate_hz : float
        Usual rate; 0 for on change or once.
    stale_after_s : float
        Without a message for this long the publisher counts as lost; infinite for on change or once.
    quality : str
        ``latched`` (reliable, transient local, depth 1), ``reliable`` (depth 10), ``best_effort`` (depth 5).
    recorded : bool
        Goes into the bag.
    uploaded : bool
        Goes to S3.
    meaning : str
        One line for people.
    """

    name: str
    type: str
    publisher: str
    rate_hz: float
    stale_after_s: float
    quality: Quality
    recorded: bool
    uploaded: bool
    meaning: str


_NEVER = float("inf")
_OWN = "openbms_msgs/msg/"
_BATTERY = "sensor_msgs/msg/BatteryState"

TOPICS: tuple[Topic, ...] = (
    Topic("pack_description", _OWN + "PackDescription", "afe_driver", 0, _NEVER, "latched", True, True,
          "Static facts of the pack; makes every recording explain itself"),
    Topic("measurement", _OWN + "PackMeasurement", "afe_driver", 10, 0.5, "reliable", True, True,
          "One coherent scan of everything the pack measures"),
    Topic("can_rx", _OWN + "CanFrames", "afe_driver", 10, _NEVER, "reliable", True, False,
          "Raw frames received in a scan, where the pack file asks for it"),
    Topic("can_tx", _OWN + "CanFrames", "afe_driver", 10, _NEVER, "reliable", True, False,
          "Raw frames sent in a scan, where the pack file asks for it"),
    Topic("faults", _OWN + "FaultArray", "safety_monitor", 1, 3.0, "latched", True, True,
          "Pending, active and latched faults, and what is not monitored"),
    Topic("state", _OWN + "BmsState", "safety_monitor", 10, 0.5, "reliable", True, True,
          "State machine, current request, what is inhibited and why"),
    Topic("limits", _OWN + "Limits", "safety_monitor", 10, 0.5, "reliable", True, True,
          "The final charge and discharge limits that anybody may use"),
    Topic("contactor_command", _OWN + "ContactorCommand", "safety_monitor", 10, 0.5, "reliable", True, False,
          "Wanted state of every contactor; renewed, expires"),
    Topic("soc", _OWN + "StateOfCharge", "soc_estimator", 10, 1.0, "reliable", True, True,
          "State of charge of the pack and of every cell, with standard deviation"),
    Topic("soh", _OWN + "StateOfHealth", "soh_estimator", 0.2, 30.0, "reliable", True, True,
          "Capacity and resistance of the pack and of every cell, and what it has been through"),
    Topic("power_limits", _OWN + "PowerLimits", "power_limiter", 10, 1.0, "reliable", True, True,
          "Advisory power limits over several horizons"),
    Topic("diagnosis", _OWN + "CellDiagnosis", "diagnoser", 1, 10.0, "reliable", True, True,
          "How likely each fault of each cell and sensor is, with the evidence"),
    Topic("balancing_command", _OWN + "BalancingCommand", "balancer", 1, 3.0, "reliable", True, False,
          "Which cells to bleed; expires"),
    Topic("thermal_command", _OWN + "ThermalCommand", "thermal_controller", 1, 3.0, "reliable", True, False,
          "What the thermal actuators shall do; expires"),
    Topic("charge_command", _OWN + "ChargeCommand", "charge_controller", 10, 1.0, "reliable", True, False,
          "What the charger shall deliver; expires"),
    Topic("vehicle_inputs", _OWN + "VehicleInputs", "vehicle_gateway", 20, 0.5, "reliable", True, False,
          "Key, stop, plug, pilot and request of the vehicle, as far as its bus brings them freshly"),
    Topic("actuator_feedback", _OWN + "ActuatorFeedback", "actuator_driver", 10, 1.0, "reliable", True, True,
          "What charger, pump, fan, heater and chiller on their own bus report, and who does not obey"),
    Topic("power_setpoint", _OWN + "PowerSetpoint", "energy_planner", 1, 5.0, "reliable", True, True,
          "Power that the pack shall take or give at its inverter; clipped by limits, expires"),
    Topic("site_meter", _OWN + "SiteMeter", "site_adapter", 2, 5.0, "reliable", True, True,
          "What flows at the grid connection of the site"),
    Topic("grid_event", _OWN + "GridEvent", "site_adapter", 1, 10.0, "reliable", True, True,
          "What the grid, its operator or the inverter enforces: curtailment, disconnection, fault"),
    Topic("twin_truth", _OWN + "TwinTruth", "twin", 10, 1.0, "reliable", True, False,
          "What is really true inside the digital twin; for scoring only, absent on a real pack"),
    Topic("battery_state", _BATTERY, "battery_state_publisher", 1, 3.0, "reliable", True, True,
          "The pack as the standard ROS message, for vehicle stacks"),
    Topic("/battery_state", _BATTERY, "battery_state_publisher", 1, 3.0, "reliable", False, False,
          "The same for Nav2 docking, from the single pack or the aggregator"),
    Topic("/battery_status", _BATTERY, "battery_state_publisher", 1, 3.0, "reliable", False, False,
          "The same for Nav2 behaviour trees"),
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", "every node", 1, _NEVER, "reliable", True,
          False, "Health of each node, for people; never part of protection"),
)  # fmt: skip
"""All topics of the built system."""

TOPIC_BY_NAME = {topic.name: topic for topic in TOPICS}
"""Rows by name."""

DIAGNOSTICS = "/diagnostics"


def absolute_name(topic: Topic, namespace: str) -> str:
    """Give the full name of a topic for a pack's namespace.

    Parameters
    ----------
    topic : Topic
        Row of the table.
    namespace : str
        Namespace of the pack, such as ``/bms``.

    Returns
    -------
    str
        ``/bms/measurement``, or the name itself where it is global.
    """
    if topic.name.startswith("/"):
        return topic.name
    return f"/{namespace.strip('/')}/{topic.name}" if namespace.strip("/") else f"/{topic.name}"
