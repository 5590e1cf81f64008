"""What gateways bring into the scan, with its age."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from openbms_core.pack import LoadedPack, PackFile
from openbms_core.types import UNKNOWN, ActuatorFeedback, Validity, VehicleInputs
from openbms_drivers.database import Database
from openbms_drivers.pack_driver import PackDriver

T = 100.0


def from_vehicle(pack: LoadedPack) -> LoadedPack:
    """Give the pack with its key and its stop on the vehicle's bus."""
    content = pack.file.model_dump(mode="json")
    listed = ("ignition", "emergency_stop")
    content["gateway_inputs"] = list(listed)
    content["device"]["signals"] = [e for e in content["device"]["signals"] if e["to"] not in listed]
    return LoadedPack(pack.path, PackFile.model_validate_json(json.dumps(content)), pack.cell)


@pytest.fixture
def driver(demo_pack: LoadedPack, demo_database: Database) -> PackDriver:
    made = PackDriver(from_vehicle(demo_pack), database=demo_database)
    made.start(T)
    return made


def test_key_and_stop_of_the_vehicle_are_in_the_scan_until_they_are_old(driver: PackDriver) -> None:
    assert driver.pack.file.mapped("ignition")
    assert driver.scan.close(T, T).ignition == UNKNOWN
    driver.gateway_inputs.take_vehicle(VehicleInputs(0.3, ignition=1, emergency_stop=1, interlock=0), T)
    scan = driver.scan.close(T + 0.29, T)
    assert (scan.ignition, scan.emergency_stop) == (1, 1)
    assert scan.interlock == UNKNOWN, "the pack file does not list it"
    assert driver.scan.close(T + 0.31, T).ignition == UNKNOWN, "its own validity is shorter than the pack's"


def test_what_counts_for_no_time_is_old_at_once(driver: PackDriver) -> None:
    for valid_for_s in (float("nan"), -1.0, 0.0):
        driver.gateway_inputs.take_vehicle(VehicleInputs(valid_for_s, ignition=1), T)
        assert driver.scan.close(T + 0.01, T).ignition == UNKNOWN


def test_unknown_is_unknown_at_once(driver: PackDriver) -> None:
    driver.gateway_inputs.take_vehicle(VehicleInputs(0.3, ignition=1, emergency_stop=0), T)
    driver.gateway_inputs.take_vehicle(VehicleInputs(0.3, ignition=1), T + 0.05)
    scan = driver.scan.close(T + 0.1, T)
    assert (scan.ignition, scan.emergency_stop) == (1, UNKNOWN)


def test_nonsense_is_refused(driver: PackDriver) -> None:
    with pytest.raises(ValueError, match="ignition is 7"):
        driver.gateway_inputs.take_vehicle(VehicleInputs(0.3, ignition=7), T)


def feedback(**values: float) -> ActuatorFeedback:
    """Give what actuators report, by name."""
    said = np.array(list(values.values()))
    nothing = np.zeros(len(values))
    return ActuatorFeedback(
        list(values), nothing, said, False, 0.0, 0.0, math.nan, math.nan, 120.0, [], "", 0.5
    )


def test_feedback_of_actuators_on_another_bus_is_in_the_scan_by_name(
    demo_pack: LoadedPack, demo_database: Database
) -> None:
    content = demo_pack.file.model_dump(mode="json")
    content["gateway_inputs"] = ["actuator_feedback", "auxiliary_power_w"]
    content["device"]["signals"] = [
        entry for entry in content["device"]["signals"] if entry["to"] not in content["gateway_inputs"]
    ]
    pack = LoadedPack(demo_pack.path, PackFile.model_validate_json(json.dumps(content)), demo_pack.cell)
    driver = PackDriver(pack, database=demo_database)
    driver.start(T)
    assert driver.gateway_inputs.take_actuators(feedback(fan=0.2, heater=0.9), T) is None
    scan = driver.scan.close(T + 0.1, T)
    assert (scan.actuator_feedback[0], scan.actuator_feedback[2]) == (0.9, 0.2), "heater, pump, fan, chiller"
    assert scan.actuator_feedback_validity[1] == Validity.MISSING, "nobody said anything of the pump"
    assert scan.auxiliary_power_w == 120.0
    late = driver.scan.close(T + 0.6, T)
    assert late.actuator_feedback_validity[0] == Validity.STALE
    problem = driver.gateway_inputs.take_actuators(feedback(blower=1.0), T)
    assert problem is not None and "'blower'" in problem


def test_one_source_a_quantity(demo_pack: LoadedPack) -> None:
    content = demo_pack.file.model_dump(mode="json")
    content["gateway_inputs"] = ["ignition"]
    with pytest.raises(ValueError, match="maps as well"):
        PackFile.model_validate_json(json.dumps(content))
