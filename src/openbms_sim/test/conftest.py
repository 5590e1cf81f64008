"""Shared by the twin's tests: the shipped pack, its messages, twins with a host."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from simulated_host import DBC, PACKS, REPOSITORY, Host

from openbms_core.pack import LoadedPack, load_pack
from openbms_sim.plant.pack import PackPlant
from openbms_sim.record import load_record
from openbms_sim.replay import Replay

# The pack names its DBC as package://openbms_drivers/…: found in a bare checkout too.
if str(REPOSITORY / "src/openbms_drivers") not in sys.path:
    sys.path.append(str(REPOSITORY / "src/openbms_drivers"))


@pytest.fixture(scope="session")
def pack() -> LoadedPack:
    return load_pack(PACKS / "demo_96s_nmc.yaml")


@pytest.fixture(scope="session")
def dbc() -> str:
    return str(DBC)


@pytest.fixture
def plant_host(pack: LoadedPack) -> Host:
    return Host(pack, PackPlant(96, soc=0.6, seed=1))


@pytest.fixture
def replay_host(pack: LoadedPack) -> Host:
    return Host(pack, Replay(load_record(), 96))
