"""What is measured, estimated, limited and commanded, as plain Python types without ROS.

Arrays are NumPy; a value that is not valid is NaN, and the validity array beside it says why. Current is
positive when
charging. Times are in seconds; ``stamp_s`` is ROS time of acquisition.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

__all__ = [
    "NO_SCAN",
    "UNKNOWN",
    "ActuatorFeedback",
    "BalancingCommand",
    "BmsStatus",
    "BusState",
    "CellDiagnosis",
    "ChargeCommand",
    "ContactorCommand",
    "DiagnosisFinding",
    "FaultState",
    "FinalLimits",
    "GridEvent",
    "GridEventKind",
    "Level",
    "PackMeasurement",
    "PowerLimits",
    "PowerSetpoint",
    "SiteMeter",
    "State",
    "StateOfCharge",
    "StateOfHealth",
    "ThermalCommand",
    "Validity",
    "VehicleInputs",
]

FloatArray = NDArray[np.float64]
ByteArray = NDArray[np.uint8]

UNKNOWN = 255
"""Code of an on-off value that is unknown."""
NO_SCAN = 2**64 - 1
"""Number of a scan where there was none yet."""


class Validity(IntEnum):
    """Why a value is or is not there; equal to the constants of PackMeasurement.msg."""

    VALID = 0
    STALE = 1
    MISSING = 2
    CHECKSUM = 3
    COUNTER = 4
    IMPLAUSIBLE = 5
    NOT_AVAILABLE = 6
    NOT_FITTED = 7
    BUS_LOST = 8


class BusState(IntEnum):
    """State of the bus; equal to the constants of PackMeasurement.msg."""

    OK = 0
    CONNECTING = 1
    SILENT = 2
    UNKNOWN_FRAMES = 3
    ERROR = 4
    OFF = 5


class State(IntEnum):
    """State of the pack; equal to the constants of BmsState.msg."""

    INIT = 0
    STANDBY = 1
    PRECHARGE = 2
    DRIVE = 3
    CHARGE = 4
    CONNECTED = 5
    OPENING = 6
    FAULT = 7


class Level(IntEnum):
    """Level of a limit; equal to the constants of Fault.msg."""

    OPERATING = 0
    RECOMMENDED = 1
    SAFETY = 2


class FaultState(IntEnum):
    """What is known of a fault; equal to the constants of Fault.msg."""

    PENDING = 0
    ACTIVE = 1
    LATCHED = 2


class GridEventKind(IntEnum):
    """What the grid enforces; equal to the constants of GridEvent.msg."""

    NONE = 0
    CURTAILMENT = 1
    DISCONNECTED = 2
    FAULT = 3
    UNREACHABLE = 4


def _nan() -> float:
    return float("nan")


@dataclass
class PackMeasurement:
    """One coherent scan (PackMeasurement.msg, which documents each value)."""

    stamp_s: float
    scan_number: int
    scan_duration_s: float
    cell_voltages_v: FloatArray
    cell_voltage_validity: ByteArray
    cell_voltage_ages_s: FloatArray
    cell_balancing: ByteArray
    redundant_cell_voltages_v: FloatArray
    redundant_cell_voltage_validity: ByteArray
    temperatures_degc: FloatArray
    temperature_validity: ByteArray
    temperature_ages_s: FloatArray
    string_currents_a: FloatArray
    string_current_minimum_a: FloatArray
    string_current_maximum_a: FloatArray
    string_charge_increments_ah: FloatArray
    string_current_samples: NDArray[np.uint32]
    string_current_validity: ByteArray
    string_charge_counters_ah: FloatArray
    string_charge_counter_validity: ByteArray
    redundant_string_currents_a: FloatArray
    redundant_string_current_validity: ByteArray
    string_voltages_v: FloatArray
    string_voltage_validity: ByteArray
    contactor_feedback: ByteArray
    actuator_feedback: FloatArray
    actuator_feedback_validity: ByteArray
    link_voltage_v: float = field(default_factory=_nan)
    link_voltage_validity: int = Validity.NOT_FITTED
    insulation_resistance_ohm: float = field(default_factory=_nan)
    insulation_resistance_validity: int = Validity.NOT_FITTED
    interlock: int = UNKNOWN
    emergency_stop: int = UNKNOWN
    ignition: int = UNKNOWN
    charging_plug: int = UNKNOWN
    smoke: int = UNKNOWN
    gas: int = UNKNOWN
    pressure_pa: float = field(default_factory=_nan)
    pressure_validity: int = Validity.NOT_FITTED
    supply_voltage_v: float = field(default_factory=_nan)
    supply_voltage_validity: int = Validity.NOT_FITTED
    coolant_flow_m3_per_s: float = field(default_factory=_nan)
    coolant_flow_validity: int = Validity.NOT_FITTED
    auxiliary_power_w: float = field(default_factory=_nan)
    auxiliary_power_validity: int = Validity.NOT_FITTED
    reported_cell_voltage_minimum_v: float = field(default_factory=_nan)
    reported_cell_voltage_maximum_v: float = field(default_factory=_nan)
    reported_cell_voltage_validity: int = Validity.NOT_FITTED
    reported_temperature_minimum_degc: float = field(default_factory=_nan)
    reported_temperature_maximum_degc: float = field(default_factory=_nan)
    reported_temperature_validity: int = Validity.NOT_FITTED
    reported_soc: float = field(default_factory=_nan)
    reported_soc_validity: int = Validity.NOT_FITTED
    reported_charge_current_limit_a: float = field(default_factory=_nan)
    reported_discharge_current_limit_a: float = field(default_factory=_nan)
    reported_limit_validity: int = Validity.NOT_FITTED
    bus_state: int = BusState.CONNECTING
    bus_message: str = ""
    frames_received: int = 0
    frames_rejected: int = 0

    @classmethod
    def empty(cls, cells: int, sensors: int, strings: int, *, actuators: int = 0, **values: Any) -> Self:
        """Build a scan in which nothing was received.

        Parameters
        ----------
        cells, sensors, strings, actuators : int
            Lengths of the per-cell, per-sensor, per-string and per-actuator arrays.
        **values
            Fields to set (``stamp_s``, ``scan_number`` … default to 0).
        """
        sizes = {
            "cell": cells,
            "temperature": sensors,
            "string": strings,
            "actuator": actuators,
            "redundant": 0,
        }
        sizes["contactor"] = 3 * strings
        arrays: dict[str, Any] = {"stamp_s": 0.0, "scan_number": 0, "scan_duration_s": 0.0}
        for item in fields(cls):
            if "Array" not in str(item.type) and "NDArray" not in str(item.type):
                continue
            size = sizes[item.name.partition("_")[0].removesuffix("s")]
            if item.name.endswith("_validity"):
                arrays[item.name] = np.full(size, Validity.MISSING, np.uint8)
            elif item.name == "string_current_samples":
                arrays[item.name] = np.zeros(size, np.uint32)
            elif "ByteArray" in str(item.type):
                arrays[item.name] = np.full(size, UNKNOWN, np.uint8)
            else:
                arrays[item.name] = np.full(size, np.nan)
        return cls(**{**arrays, **values})


@dataclass
class StateOfCharge:
    """State of charge of the pack and of every cell (StateOfCharge.msg)."""

    stamp_s: float
    scan_number: int
    soc: float
    soc_std: float
    displayed_soc: float
    cell_soc: FloatArray
    cell_soc_std: FloatArray
    string_soc: FloatArray
    string_soc_std: FloatArray
    remaining_charge_ah: float
    remaining_charge_std_ah: float
    remaining_energy_wh: float
    remaining_energy_std_wh: float
    current_bias_a: FloatArray
    current_bias_std_a: FloatArray
    voltage_innovation_v: FloatArray
    method: str
    quality: int
    quality_reason: str


@dataclass
class StateOfHealth:
    """Capacity, resistance and use of the pack and of every cell (StateOfHealth.msg)."""

    stamp_s: float
    scan_number: int
    soh: float
    soh_std: float
    rated_capacity_ah: float
    usable_capacity_now_ah: float
    usable_capacity_balanced_ah: float
    weakest_cell: int
    weakest_probability: float
    cell_capacity_ah: FloatArray
    cell_capacity_std_ah: FloatArray
    cell_capacity_pairs: NDArray[np.uint32]
    cell_resistance_ohm: FloatArray
    cell_resistance_std_ohm: FloatArray
    cell_resistance_10s_ohm: FloatArray
    cell_resistance_10s_std_ohm: FloatArray
    cell_resistance_ratio: FloatArray
    incremental_peak_voltage_v: FloatArray
    incremental_peak: FloatArray
    charge_in_ah: float
    charge_out_ah: float
    energy_in_wh: float
    energy_out_wh: float
    equivalent_full_cycles: float
    temperature_edges_degc: FloatArray
    soc_edges: FloatArray
    time_at_s: FloatArray
    quality: int
    quality_reason: str


@dataclass
class DiagnosisFinding:
    """A fault that is likely somewhere, with what speaks for it (DiagnosisFinding.msg)."""

    fault: str
    place: str
    index: int
    probability: float
    alarm: bool
    since_s: float
    size: float
    size_std: float
    unit: str
    evidence: str


@dataclass
class CellDiagnosis:
    """How likely each fault of each cell and sensor is (CellDiagnosis.msg)."""

    stamp_s: float
    scan_number: int
    faults: list[str]
    probability: FloatArray
    most_likely: ByteArray
    current_sensor_probability: FloatArray
    temperature_sensor_probability: FloatArray
    excess_heat_w: FloatArray
    excess_heat_std_w: FloatArray
    runaway_warning: ByteArray
    findings: list[DiagnosisFinding]
    observed_s: float
    quality_reason: str


@dataclass
class PowerLimits:
    """Advisory limits over several horizons (PowerLimits.msg); magnitudes."""

    stamp_s: float
    scan_number: int
    horizons_s: FloatArray
    charge_current_a: FloatArray
    charge_current_std_a: FloatArray
    discharge_current_a: FloatArray
    discharge_current_std_a: FloatArray
    charge_power_w: FloatArray
    discharge_power_w: FloatArray
    charge_reason: list[str]
    charge_cell: NDArray[np.int32]
    discharge_reason: list[str]
    discharge_cell: NDArray[np.int32]
    valid_for_s: float


@dataclass
class FinalLimits:
    """The limits that everybody must obey (Limits.msg); magnitudes."""

    charge_current_a: float
    discharge_current_a: float
    charge_power_w: float
    discharge_power_w: float
    charge_reason: str
    discharge_reason: str
    explanation: str
    limp_home: bool
    shutdown_in_s: float
    valid_for_s: float


@dataclass
class BmsStatus:
    """State machine of the pack and what it forbids (BmsState.msg)."""

    state: State
    previous_state: State
    time_in_state_s: float
    requested_state: State
    reason: str
    explanation: str
    contactor_command: ByteArray
    contactors_closed: bool
    zero_current_requested: bool
    opening_deadline_s: float
    charge_allowed: bool
    discharge_allowed: bool
    balancing_allowed: bool
    heating_allowed: bool
    cooling_required: bool
    inhibits: list[str]
    inhibit_texts: list[str]
    start_count: int
    valid_for_s: float


@dataclass
class ContactorCommand:
    """Wanted state of every contactor (ContactorCommand.msg); one value a string."""

    sequence: int
    positive: ByteArray
    negative: ByteArray
    precharge: ByteArray
    requested_state: State
    reason: str
    valid_for_s: float
    scan_number: int = NO_SCAN


@dataclass
class BalancingCommand:
    """Which cells to bleed (BalancingCommand.msg)."""

    bleed: ByteArray
    reason: str
    valid_for_s: float


@dataclass
class ThermalCommand:
    """What the thermal actuators shall do, 0…1 of full scale (ThermalCommand.msg)."""

    heater: float
    pump: float
    fan: float
    chiller: float
    reason: str
    valid_for_s: float


@dataclass
class ChargeCommand:
    """What the charger shall deliver (ChargeCommand.msg)."""

    enable: bool
    voltage_v: float
    current_a: float
    reason: str
    valid_for_s: float


@dataclass
class VehicleInputs:
    """What the vehicle says and asks for (VehicleInputs.msg); UNKNOWN and NaN where nothing fresh came."""

    valid_for_s: float
    ignition: int = UNKNOWN
    interlock: int = UNKNOWN
    emergency_stop: int = UNKNOWN
    charging_plug: int = UNKNOWN
    wanted_state: int = UNKNOWN
    crash_latched: bool = False
    pilot_current_a: float = field(default_factory=_nan)
    reason: str = ""


@dataclass
class ActuatorFeedback:
    """What actuators on their own bus were told and report (ActuatorFeedback.msg)."""

    names: list[str]
    commanded: FloatArray
    feedback: FloatArray
    charger_enabled: bool
    charger_voltage_commanded_v: float
    charger_current_commanded_a: float
    charger_voltage_v: float
    charger_current_a: float
    auxiliary_power_w: float
    problems: list[str]
    reason: str
    valid_for_s: float


@dataclass
class PowerSetpoint:
    """Power that the pack shall take (positive) or give at its inverter (PowerSetpoint.msg)."""

    power_w: float
    source: str
    reason: str
    valid_for_s: float


@dataclass
class SiteMeter:
    """What flows at the grid connection (SiteMeter.msg); positive: drawn from the grid."""

    power_w: float
    phase_power_w: FloatArray
    phase_voltage_v: FloatArray
    phase_current_a: FloatArray
    frequency_hz: float
    inverter_power_w: float
    pv_power_w: float
    load_power_w: float
    energy_imported_wh: float
    energy_exported_wh: float
    meter: str
    reason: str
    valid_for_s: float


@dataclass
class GridEvent:
    """What the grid or its operator enforces (GridEvent.msg); powers are magnitudes."""

    kind: int
    charge_power_w: float
    discharge_power_w: float
    import_power_w: float
    export_power_w: float
    source: str
    reason: str
    valid_for_s: float
