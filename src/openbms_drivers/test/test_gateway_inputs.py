"""What gateways bring into the scan, with its age."""

from __future__ import annotations

import json

import pytest

from openbms_core.pack import LoadedPack, PackFile
from openbms_core.types import UNKNOWN, VehicleInputs
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


def test_unknown_is_unknown_at_once(driver: PackDriver) -> None:
    driver.gateway_inputs.take_vehicle(VehicleInputs(0.3, ignition=1, emergency_stop=0), T)
    driver.gateway_inputs.take_vehicle(VehicleInputs(0.3, ignition=1), T + 0.05)
    scan = driver.scan.close(T + 0.1, T)
    assert (scan.ignition, scan.emergency_stop) == (1, UNKNOWN)


def test_nonsense_is_refused(driver: PackDriver) -> None:
    with pytest.raises(ValueError, match="ignition is 7"):
        driver.gateway_inputs.take_vehicle(VehicleInputs(0.3, ignition=7), T)


def test_one_source_a_quantity(demo_pack: LoadedPack) -> None:
    content = demo_pack.file.model_dump(mode="json")
    content["gateway_inputs"] = ["ignition"]
    with pytest.raises(ValueError, match="maps as well"):
        PackFile.model_validate_json(json.dumps(content))
