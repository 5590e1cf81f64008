"""Random and mutated frames: no exception, nothing falsely valid, no growth; and the oracle can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from frame_fuzz import fuzz

from openbms_core.faults import FAULT_NAMES
from openbms_core.pack import FaultTiming, load_pack


@pytest.fixture(scope="module")
def pack():
    return load_pack("demo_96s_nmc")


def test_nothing_that_no_good_frame_said_is_valid(pack):
    result = fuzz(pack, 25_000, seed=7)
    assert result.false_valid == []
    assert result.valid_values > 0.5 * result.values_checked
    assert {"STANDBY", "PRECHARGE", "DRIVE", "FAULT"} <= set(result.states)
    assert len(result.ways) == 12 and min(result.ways.values()) > 100
    assert result.memory_growth_kib < 4096


def test_a_driver_that_believes_wrong_checksums_is_found_out(pack):
    trusting = pack.file.device.model_copy(update={"integrity": ()})
    believing = replace(pack, file=pack.file.model_copy(update={"device": trusting}))
    assert fuzz(believing, 25_000, seed=7, judged_by=pack).false_valid


def test_a_driver_that_keeps_old_values_is_found_out(pack):
    ages = dict.fromkeys(pack.file.measurement.max_age_s, 60.0)
    patient = pack.file.measurement.model_copy(update={"max_age_s": ages})
    keeping = replace(pack, file=pack.file.model_copy(update={
        "measurement": patient,
        "faults": {**pack.file.faults, **_tolerant()},
    }))  # fmt: skip
    assert fuzz(keeping, 25_000, seed=7, judged_by=pack).false_valid


def _tolerant():
    """A pack with such ages is refused unless its fault-tolerant times allow them."""
    return {name: FaultTiming(fault_tolerant_time_s=1000.0) for name in FAULT_NAMES}
