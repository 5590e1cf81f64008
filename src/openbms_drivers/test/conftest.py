"""Fixtures of the driver tests."""

from __future__ import annotations

import pytest
from demo_device import DemoDevice

from openbms_core.pack import LoadedPack, load_pack
from openbms_drivers.database import Database


@pytest.fixture(scope="session")
def demo_pack() -> LoadedPack:
    return load_pack("demo_96s_nmc")


@pytest.fixture(scope="session")
def demo_database(demo_pack: LoadedPack) -> Database:
    return Database(demo_pack)


@pytest.fixture
def device(demo_pack: LoadedPack, demo_database: Database) -> DemoDevice:
    return DemoDevice(demo_pack, demo_database)
