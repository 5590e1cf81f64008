"""Fixtures of the driver tests."""

from __future__ import annotations

import pytest
from demo_device import DemoDevice

from openbms_core.pack import LoadedPack, load_pack


@pytest.fixture(scope="session")
def demo_pack() -> LoadedPack:
    return load_pack("demo_96s_nmc")


@pytest.fixture
def device(demo_pack: LoadedPack) -> DemoDevice:
    return DemoDevice(demo_pack)
