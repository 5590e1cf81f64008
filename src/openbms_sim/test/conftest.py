"""Shared by the twin's tests: the shipped pack, its messages, and a host that commands the device."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from openbms_core.pack import LoadedPack, load_pack

REPOSITORY = Path(__file__).resolve().parents[3]
DBC = REPOSITORY / "src/openbms_drivers/openbms_drivers/devices/openbms_cmu/openbms_cmu.dbc"

# The pack names its DBC as package://openbms_drivers/…: found in a bare checkout too.
if str(REPOSITORY / "src/openbms_drivers") not in sys.path:
    sys.path.append(str(REPOSITORY / "src/openbms_drivers"))


@pytest.fixture(scope="session")
def pack() -> LoadedPack:
    return load_pack(REPOSITORY / "src/openbms_bringup/config/packs/demo_96s_nmc.yaml")


@pytest.fixture(scope="session")
def dbc() -> str:
    return str(DBC)
