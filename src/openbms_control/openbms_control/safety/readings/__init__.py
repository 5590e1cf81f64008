"""What the fault table judges, read from one scan: one function per quantity, all vectorised over cells and
sensors.

Only values that the scan marks as valid are used. Nothing estimated comes in here. What needs more than one
scan is in :mod:`openbms_control.safety.watches`.
"""

from openbms_control.safety.readings.actuators import ACTUATOR_READINGS
from openbms_control.safety.readings.contactors import CONTACTOR_CLOCK_READINGS, CONTACTOR_READINGS
from openbms_control.safety.readings.facts import (
    CLOSED_STATES,
    Circumstances,
    ClockReading,
    PackFacts,
    Reading,
    ScanReading,
)
from openbms_control.safety.readings.inputs import INPUT_READINGS
from openbms_control.safety.readings.limits import LIMIT_READINGS
from openbms_control.safety.readings.missing import MISSING_READINGS
from openbms_control.safety.readings.system import SYSTEM_CLOCK_READINGS, SYSTEM_READINGS
from openbms_control.safety.readings.values import ScanValues, cell_extreme

__all__ = [
    "CLOCK_READINGS",
    "CLOSED_STATES",
    "SCAN_READINGS",
    "Circumstances",
    "PackFacts",
    "Reading",
    "ScanValues",
    "cell_extreme",
]

SCAN_READINGS: dict[str, ScanReading] = {
    **LIMIT_READINGS,
    **MISSING_READINGS,
    **CONTACTOR_READINGS,
    **INPUT_READINGS,
    **ACTUATOR_READINGS,
    **SYSTEM_READINGS,
}
"""How each quantity of the fault table is read from a scan."""

CLOCK_READINGS: dict[str, ClockReading] = {**SYSTEM_CLOCK_READINGS, **CONTACTOR_CLOCK_READINGS}
"""How each quantity that is judged on every call is read from what the monitor knows."""
