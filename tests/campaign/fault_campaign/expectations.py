"""The table of expectations: for each kind of fault, which rows of the fault table it explains.

Written before the first run. ``numbers`` are rows whose condition the fault can bring about: they must act
where the numbers that the device's sensors said were beyond the row's limit for its debounce, and may not
where they were not (:mod:`fault_campaign.evidence`). ``consequences`` are rows that the fault explains
without such numbers. A row of neither list that latches or opens the contactors is a false alarm. What must
act whatever the numbers say stands with the draw (:class:`fault_campaign.cases.Must`). Deadlines are the
fault-tolerant times of the rows for this pack, counted from the moment at which the limit was crossed.

A new row is one more name here; a name that the fault table does not have yet does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXPECTED", "Expectation"]


@dataclass(frozen=True)
class Expectation:
    """What a kind of fault explains.

    Attributes
    ----------
    numbers : tuple of str
        Rows that act if and only if the numbers say so.
    consequences : tuple of str
        Rows that are explained in any case.
    blinds : bool
        It keeps from the monitor what the sensors say, so that nothing can be demanded by numbers.
    bus : bool
        Rows of missing data are judged by the frames that really arrived.
    by_coils : bool
        The contacts cannot follow: opening is judged by the coils.
    """

    numbers: tuple[str, ...] = ()
    consequences: tuple[str, ...] = ()
    blinds: bool = False
    bus: bool = False
    by_coils: bool = False


_VOLTAGE = ("CELL_OVER_VOLTAGE", "CELL_UNDER_VOLTAGE", "DEEP_DISCHARGE")
# what is out of the range that the pack file takes for possible is not taken for a value
_CELL = (*_VOLTAGE, "CELL_VOLTAGE_SPREAD", "STRING_VOLTAGE_MISMATCH", "CELL_VOLTAGE_MISSING")
_CELL_DOUBT = (
    "CELL_VOLTAGE_STUCK",
    "CELL_VOLTAGE_RATE",
    "CELL_OPEN_WIRE",
    "REDUNDANT_CELL_VOLTAGE_MISMATCH",
    "THERMAL_RUNAWAY_WARNING",
)
_HEAT = ("OVER_TEMPERATURE_CHARGE", "OVER_TEMPERATURE_DISCHARGE")
_COLD = ("UNDER_TEMPERATURE_CHARGE", "UNDER_TEMPERATURE_DISCHARGE")
_TEMPERATURE = (*_HEAT, *_COLD, "TEMPERATURE_SPREAD", "TEMPERATURE_MISSING")
_TEMPERATURE_DOUBT = ("TEMPERATURE_STUCK", "TEMPERATURE_RATE", "THERMAL_RUNAWAY_WARNING")
_CURRENT = (
    "OVER_CURRENT_CHARGE",
    "OVER_CURRENT_DISCHARGE",
    "CURRENT_ON_OPEN_STRING",
    "CURRENT_MISSING",
    "REDUNDANT_CURRENT_MISMATCH",
)
_CURRENT_DOUBT = ("CURRENT_STUCK", "CURRENT_RATE")
# One thing that looks like a runaway only warns; but a sensor that climbs as a burning cell does
# cannot be told from one.
_SUSPICION = ("THERMAL_RUNAWAY_WARNING",)
_RUNAWAY = (*_SUSPICION, "THERMAL_RUNAWAY_ALARM", "THERMAL_RUNAWAY_EMERGENCY")
_FRAMES = (
    "CELL_VOLTAGE_MISSING",
    "TEMPERATURE_MISSING",
    "CURRENT_MISSING",
    "SAFETY_INPUT_MISSING",
    "CONTACTOR_FEEDBACK_MISSING",
    "INSULATION_MISSING",
)
_NOT_HEARD = tuple(
    f"{name}_MISSING"
    for name in (
        "LINK_VOLTAGE",
        "STRING_VOLTAGE",
        "REDUNDANT_CURRENT",
        "BALANCING_FEEDBACK",
        "AFE_TEMPERATURE",
        "PRESSURE",
        "SUPPLY_VOLTAGE",
        "COOLANT_FLOW",
        "ACTUATOR_FEEDBACK",
    )
)
_FRAME_DOUBT = ("FRAME_INTEGRITY", "SCAN_NOT_ADVANCING", "BUS_LOST", "ESTIMATOR_LOST", *_NOT_HEARD)
# what arrives late says how contacts were
_LATE = ("CONTACTOR_WELDED", "CONTACTOR_FEEDBACK_MISMATCH")
# the device opens by itself when commands stay away, whatever flows; what was commanded closed is then open
_DEVICE_OPENED = (
    "CONTACTOR_FEEDBACK_MISMATCH",
    "CONTACTOR_FAILED_TO_CLOSE",
    "LINK_LIVE",
    "OPENED_UNDER_LOAD",
)
_CLOSING = (
    "PRECHARGE_TIMEOUT",
    "PRECHARGE_ABORTED_VOLTAGE",
    "PRECHARGE_ABORTED_CURRENT",
    "CONTACTOR_FAILED_TO_CLOSE",
    "CONTACTOR_FEEDBACK_MISMATCH",
)

EXPECTED: dict[str, Expectation] = {
    # ---- nothing is broken
    "healthy": Expectation(),
    # ---- cell voltages
    "cell_voltage_offset": Expectation(_CELL, _CELL_DOUBT),
    "cell_voltage_gain": Expectation(_CELL, _CELL_DOUBT),
    "cell_voltage_noise": Expectation(_CELL, _CELL_DOUBT),
    "cell_voltage_drift": Expectation(_CELL, _CELL_DOUBT),
    "cell_voltage_stuck": Expectation(_CELL, _CELL_DOUBT),
    "cell_open_wire": Expectation(_CELL, _CELL_DOUBT),
    "module_voltage_gain": Expectation(_CELL, _CELL_DOUBT),
    "module_voltage_stuck": Expectation(_CELL, _CELL_DOUBT),
    "string_voltage_sensor": Expectation(
        ("STRING_VOLTAGE_MISMATCH",), ("STRING_VOLTAGE_MISSING", *_CLOSING, "LINK_LIVE")
    ),
    # ---- cells
    "cell_internal_short": Expectation((*_CELL, *_TEMPERATURE), (*_CELL_DOUBT, *_RUNAWAY)),
    "cell_self_discharge": Expectation((*_CELL, *_TEMPERATURE), (*_CELL_DOUBT, *_RUNAWAY)),
    "connection_resistance": Expectation((*_CELL, *_TEMPERATURE), (*_CELL_DOUBT, *_RUNAWAY)),
    "cell_thermal_runaway": Expectation(
        (*_CELL, *_TEMPERATURE, "SMOKE_ALARM", "GAS_ALARM", "PRESSURE_ALARM"),
        (*_CELL_DOUBT, *_TEMPERATURE_DOUBT, *_RUNAWAY, "AFE_OVER_TEMPERATURE"),
    ),
    "overcharge": Expectation((*_VOLTAGE, "OVER_CURRENT_CHARGE", *_HEAT)),
    "overdischarge": Expectation((*_VOLTAGE, "OVER_CURRENT_DISCHARGE", *_HEAT)),
    # ---- temperature
    "temperature_offset": Expectation(_TEMPERATURE, _TEMPERATURE_DOUBT),
    "temperature_gain": Expectation(_TEMPERATURE, _TEMPERATURE_DOUBT),
    "temperature_noise": Expectation(_TEMPERATURE, _TEMPERATURE_DOUBT),
    "temperature_drift": Expectation(_TEMPERATURE, (*_TEMPERATURE_DOUBT, *_RUNAWAY)),
    "temperature_stuck": Expectation(_TEMPERATURE, _TEMPERATURE_DOUBT),
    "temperature_open": Expectation(("TEMPERATURE_MISSING",), _TEMPERATURE_DOUBT),
    "hot_pack": Expectation((*_HEAT, *_VOLTAGE)),
    "cold_charge": Expectation((*_COLD, *_VOLTAGE, "OVER_CURRENT_CHARGE")),
    "cold_discharge": Expectation((*_COLD, *_VOLTAGE, "OVER_CURRENT_DISCHARGE")),
    # ---- current
    "current_offset": Expectation((*_CURRENT, *_TEMPERATURE), _CURRENT_DOUBT),
    "current_gain": Expectation((*_CURRENT, *_TEMPERATURE), _CURRENT_DOUBT),
    "current_noise": Expectation((*_CURRENT, *_TEMPERATURE), _CURRENT_DOUBT),
    "current_drift": Expectation((*_CURRENT, *_TEMPERATURE), _CURRENT_DOUBT),
    "current_stuck": Expectation((*_CURRENT, *_TEMPERATURE), _CURRENT_DOUBT),
    "current_unavailable": Expectation(("CURRENT_MISSING",), (*_CURRENT_DOUBT, *_FRAME_DOUBT)),
    "over_current_discharge": Expectation(("OVER_CURRENT_DISCHARGE", *_VOLTAGE)),
    "over_current_swinging": Expectation(("OVER_CURRENT_DISCHARGE", "OVER_CURRENT_CHARGE", *_VOLTAGE)),
    "over_current_charge": Expectation(("OVER_CURRENT_CHARGE", *_VOLTAGE)),
    # ---- frames
    "drop_message": Expectation(_FRAMES, (*_FRAME_DOUBT, *_DEVICE_OPENED), blinds=True, bus=True),
    "wrong_checksum": Expectation(_FRAMES, _FRAME_DOUBT, blinds=True, bus=True),
    "frozen_counter": Expectation(_FRAMES, _FRAME_DOUBT, blinds=True, bus=True),
    "wrong_length": Expectation(_FRAMES, _FRAME_DOUBT, blinds=True, bus=True),
    "counter_jump": Expectation((), ("FRAME_INTEGRITY",), bus=True),
    "late_message": Expectation(_FRAMES, (*_FRAME_DOUBT, *_LATE), blinds=True, bus=True),
    "duplicate_message": Expectation(_FRAMES, ("FRAME_INTEGRITY",), bus=True),
    "reorder_message": Expectation(_FRAMES, ("FRAME_INTEGRITY",), blinds=True, bus=True),
    "corrupt_message": Expectation(_FRAMES, ("FRAME_INTEGRITY",), blinds=True, bus=True),
    "jitter": Expectation(_FRAMES, (*_FRAME_DOUBT, *_LATE, *_DEVICE_OPENED), blinds=True, bus=True),
    "silent_bus": Expectation(_FRAMES, (*_FRAME_DOUBT, *_DEVICE_OPENED), blinds=True, bus=True),
    "bus_off": Expectation(_FRAMES, (*_FRAME_DOUBT, *_DEVICE_OPENED), blinds=True, bus=True),
    "bus_flood": Expectation(_FRAMES, (*_FRAME_DOUBT, *_DEVICE_OPENED), blinds=True, bus=True),
    "bus_errors": Expectation(_FRAMES, (*_FRAME_DOUBT, *_DEVICE_OPENED), blinds=True, bus=True),
    "bit_rate_mismatch": Expectation(_FRAMES, (*_FRAME_DOUBT, *_DEVICE_OPENED), blinds=True, bus=True),
    "device_reboot": Expectation(_FRAMES, (*_FRAME_DOUBT, *_DEVICE_OPENED), blinds=True, bus=True),
    # what stands still says of current and contacts what was
    "frozen_scan": Expectation(
        (),
        (
            *_FRAME_DOUBT,
            *_CELL_DOUBT,
            *_CURRENT_DOUBT,
            *_TEMPERATURE_DOUBT,
            *_CURRENT,
            *_DEVICE_OPENED,
            "CONTACTOR_WELDED",
        ),
        blinds=True,
    ),
    # ---- contactors
    "contactor_welded": Expectation(
        ("CONTACTOR_WELDED", "CURRENT_ON_OPEN_STRING"), ("LINK_LIVE", "CONTACTOR_WELDED"), by_coils=True
    ),
    "contactor_fails_to_close": Expectation(("CONTACTOR_FEEDBACK_MISMATCH",), _CLOSING),
    "contactor_drops_out": Expectation(("CONTACTOR_FEEDBACK_MISMATCH",), ("LINK_LIVE",)),
    "contactor_feedback": Expectation(
        ("CONTACTOR_FEEDBACK_MISMATCH", "CONTACTOR_WELDED", "CONTACTOR_FEEDBACK_MISSING"), _CLOSING
    ),
    "precharge_resistor_open": Expectation((), _CLOSING),
    "link_load": Expectation((), (*_CLOSING, "LINK_LIVE")),
    "link_voltage_sensor": Expectation(
        (), ("LINK_VOLTAGE_MISSING", "LINK_LIVE", "CONTACTOR_WELDED", *_CLOSING)
    ),
    # ---- inputs
    "insulation": Expectation(("LOW_INSULATION",), _SUSPICION),
    "insulation_unknown": Expectation(("INSULATION_MISSING",)),
    "interlock_open": Expectation(("INTERLOCK_OPEN",), _DEVICE_OPENED),
    "emergency_stop": Expectation(("EMERGENCY_STOP",), _DEVICE_OPENED),
    "smoke": Expectation(("SMOKE_ALARM",), _SUSPICION),
    "gas": Expectation(("GAS_ALARM",), _SUSPICION),
    "pressure": Expectation(("PRESSURE_ALARM",), _SUSPICION),
    "pressure_unavailable": Expectation((), _NOT_HEARD),
    "input_unknown": Expectation(("SAFETY_INPUT_MISSING",)),
    "charging_plug": Expectation(("PLUGGED_IN_WHILE_DRIVING",)),
    "ignition": Expectation(),
    "supply_voltage": Expectation(("SUPPLY_VOLTAGE",), ("SUPPLY_VOLTAGE_LOW", "SUPPLY_VOLTAGE_HIGH")),
    # ---- actuators
    "bleed_stuck_on": Expectation((), ("BLEED_STUCK_ON",)),
    "heater_stuck_on": Expectation(_HEAT, ("HEATER_STUCK_ON", "HEATER_STUCK_ON_HOT")),
    "coolant": Expectation(_HEAT, ("COOLANT_FLOW_LOW", "PUMP_FAILURE", "FAN_FAILURE")),
    "coolant_flow_stuck": Expectation(_HEAT, ("COOLANT_FLOW_LOW",)),
    "heater_dead": Expectation(_COLD, ("HEATER_FAILURE",)),
    "chiller_dead": Expectation(_HEAT, ("CHILLER_FAILURE",)),
    "fan_dead": Expectation(_HEAT, ("FAN_FAILURE",)),
    # ---- computer
    "estimator_silent": Expectation((), ("ESTIMATOR_LOST", "LIMP_HOME_EXPIRED")),
    "monitor_hangs": Expectation(
        (), ("MONITOR_LATE", "DRIVER_LOST", "ESTIMATOR_LOST", *_DEVICE_OPENED), blinds=True
    ),
    "monitor_dies": Expectation((), ("MONITOR_DIED", "ESTIMATOR_LOST", *_DEVICE_OPENED), blinds=True),
    "driver_hangs": Expectation(
        _FRAMES, ("DRIVER_LOST", "ESTIMATOR_LOST", *_FRAME_DOUBT, *_DEVICE_OPENED), blinds=True
    ),
    "driver_dies": Expectation(
        _FRAMES,
        ("DRIVER_LOST", "DRIVER_RESTARTED", "ESTIMATOR_LOST", *_FRAME_DOUBT, *_DEVICE_OPENED),
        blinds=True,
    ),
    "clock_steps": Expectation((), ("CLOCK_JUMP",)),
    "foreign_configuration": Expectation((), ("CONFIG_MISMATCH",)),
    "scan_repeats": Expectation(_FRAMES, ("SCAN_NOT_ADVANCING", *_CELL_DOUBT, *_DEVICE_OPENED), blinds=True),
}
"""What each kind explains."""
