"""Shared types."""

import numpy as np
import pytest

from openbms_core.types import UNKNOWN, PackMeasurement, Validity


@pytest.mark.parametrize(
    ("cells", "sensors", "strings", "actuators"), [(96, 43, 1, 4), (16, 2, 3, 0), (1, 0, 1, 1)]
)
def test_empty_scan_invents_nothing(cells: int, sensors: int, strings: int, actuators: int) -> None:
    scan = PackMeasurement.empty(cells, sensors, strings, actuators=actuators)
    assert scan.cell_voltages_v.shape == scan.cell_balancing.shape == (cells,)
    assert scan.temperatures_degc.shape == scan.temperature_ages_s.shape == (sensors,)
    assert scan.string_currents_a.shape == scan.string_charge_counter_validity.shape == (strings,)
    assert scan.contactor_feedback.shape == (3 * strings,)
    assert scan.actuator_feedback.shape == (actuators,)
    for name, value in vars(scan).items():
        if isinstance(value, np.ndarray) and value.size:
            if name.endswith("_validity"):
                assert np.all(value == Validity.MISSING), name
            elif value.dtype == np.float64:
                assert np.all(np.isnan(value)), name
            elif value.dtype == np.uint8:
                assert np.all(value == UNKNOWN), name
