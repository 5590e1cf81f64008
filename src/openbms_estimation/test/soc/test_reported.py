"""A pack that shows no cell: state of charge and limits are the device's own, and said to be so."""

from __future__ import annotations

import math

import numpy as np
import pytest

from openbms_core.pack import load_pack
from openbms_core.types import PackMeasurement, Validity
from openbms_estimation.soc.pack_estimator import PackSocEstimator
from openbms_estimation.soc.reported import ReportedSoc, soc_estimator_of
from openbms_estimation.sop.pack_limiter import PackPowerLimiter
from openbms_estimation.sop.reported import ReportedLimiter, power_limiter_of


def scan(soc: float = 0.88, *, valid: bool = True) -> PackMeasurement:
    m = PackMeasurement.empty(15, 1, 1)
    m.stamp_s, m.scan_number = 50.0, 7
    m.string_voltages_v[:], m.string_currents_a[:] = 50.0, -27.0
    m.string_voltage_validity[:] = m.string_current_validity[:] = Validity.VALID
    m.reported_soc, m.reported_soc_validity = soc, Validity.VALID if valid else Validity.STALE
    m.reported_charge_current_limit_a, m.reported_discharge_current_limit_a = 30.0, 70.0
    m.reported_limit_validity = Validity.VALID if valid else Validity.STALE
    return m


def test_who_estimates_is_decided_by_what_is_mapped() -> None:
    without, with_cells = load_pack("pylontech_lv_v1_2"), load_pack("jbd_13s4p_robot")
    assert isinstance(soc_estimator_of(without), ReportedSoc)
    assert isinstance(power_limiter_of(without), ReportedLimiter)
    assert isinstance(soc_estimator_of(with_cells), PackSocEstimator), "cells are mapped: own estimate"
    assert isinstance(power_limiter_of(with_cells), PackPowerLimiter)


def test_the_state_of_charge_is_passed_on_as_the_devices_own() -> None:
    pack = load_pack("pylontech_lv_v1_2")
    found = soc_estimator_of(pack).step(scan())
    assert (found.stamp_s, found.scan_number) == (50.0, 7)
    assert found.soc == found.displayed_soc == 0.88
    assert (found.method, found.quality) == ("device", 3)
    assert found.remaining_charge_ah == pytest.approx(0.88 * pack.cell.capacity_ah)
    assert np.isnan(found.cell_soc).all() and math.isnan(found.soc_std), "nothing is invented"


@pytest.mark.parametrize(("soc", "valid"), [(math.nan, True), (0.5, False)])
def test_what_the_device_does_not_say_is_unknown(soc: float, valid: bool) -> None:
    found = soc_estimator_of(load_pack("pylontech_lv_v1_2")).step(scan(soc, valid=valid))
    assert math.isnan(found.soc) and math.isnan(found.displayed_soc) and found.quality == 4


def test_limits_are_the_devices_own_at_every_horizon() -> None:
    pack = load_pack("pylontech_lv_v1_2")
    limiter, m = power_limiter_of(pack), scan()
    found = limiter.step(m, soc_estimator_of(pack).step(m))
    assert found is not None
    assert found.charge_current_a.tolist() == [30.0] * 4 and found.discharge_current_a.tolist() == [70.0] * 4
    assert found.discharge_power_w.tolist() == [3500.0] * 4 and set(found.charge_reason) == {"device"}


def test_without_limits_or_voltage_none_are_stated() -> None:
    pack = load_pack("pylontech_lv_v1_2")
    limiter, soc = power_limiter_of(pack), soc_estimator_of(pack)
    stale, unknown = scan(valid=False), scan()
    unknown.string_voltage_validity[:] = Validity.STALE
    for m in (stale, unknown):
        assert limiter.step(m, soc.step(m)) is None


def test_nothing_is_kept_over_a_restart() -> None:
    estimator = soc_estimator_of(load_pack("pylontech_lv_v1_2"))
    assert isinstance(estimator, ReportedSoc)
    assert estimator.stored(orderly=True) is None and not estimator.waits_to_resume(scan())
