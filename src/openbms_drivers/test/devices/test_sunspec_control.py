"""A power to registers, and what the inverter says of itself: signs, bases, reversion, curtailment."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sunspec_site import Bank, House

from openbms_core.types import GridEventKind
from openbms_drivers.devices.sunspec.chain import Block
from openbms_drivers.devices.sunspec.control import UnusableError, plan_der, plan_release, plan_storage
from openbms_drivers.devices.sunspec.meters import generated_w, imported_w, inverter_power_w, site_meter
from openbms_drivers.devices.sunspec.models import Values
from openbms_drivers.devices.sunspec.ratings import Ratings, grid_state, ratings


def values(bank: Bank, number: int) -> Values:
    address = bank.model_at[number]
    block = Block(number, address, bank.get_raw(number, "L"))
    assert block.definition is not None
    start = address - bank.base
    return Values(block.definition, tuple(bank.words[start : start + block.length + 2]), block.length)


def models(bank: Bank) -> dict[int, Values]:
    return {number: values(bank, number) for number in bank.model_at}


def carry_out(bank: Bank, plan: Any) -> None:
    for write in plan.writes:
        at = bank.model_at[plan.model] - bank.base + write.register
        bank.words[at : at + len(write.words)] = write.words


RATED = Ratings(5000.0, 5000.0, 5000.0, 5000.0)


@given(st.floats(-5000, 5000), st.floats(5, 3600))
def test_model_124_ends_where_the_window_has_no_width(power_w: float, revert_s: float) -> None:
    bank = House().units[1]
    plan = plan_storage(values(bank, 124), RATED, power_w, revert_after_s=revert_s)
    carry_out(bank, plan)
    into, out = bank.get(124, "InWRte"), bank.get(124, "OutWRte")
    assert into == -out and bank.get(124, "StorCtl_Mod") == 3
    assert into / 100 * 5000 == pytest.approx(power_w, abs=0.51)
    assert abs(into / 100 * 5000) <= abs(power_w) + 1e-6
    assert plan.power_w == pytest.approx(into / 100 * 5000, abs=1e-6)
    assert revert_s <= bank.get(124, "InOutWRte_RvrtTms") < revert_s + 1
    assert plan.difference(values(bank, 124)) == ""


def test_the_mode_is_switched_on_after_the_rates_and_their_reversion() -> None:
    plan = plan_storage(values(House().units[1], 124), RATED, 1000.0, revert_after_s=30.0)
    assert [write.names for write in plan.writes] == [
        ("InOutWRte_RvrtTms",),
        ("OutWRte", "InWRte"),
        ("StorCtl_Mod",),
    ]


@pytest.mark.parametrize(
    ("power_w", "into", "out", "mode"), [(1000, 20, 0, 1), (-1000, 0, 20, 2), (0, 0, 0, 3)]
)
def test_one_sided_rates(power_w: float, into: float, out: float, mode: int) -> None:
    bank = House().units[1]
    carry_out(bank, plan_storage(values(bank, 124), RATED, power_w, revert_after_s=30.0, window=False))
    assert [bank.get(124, name) for name in ("InWRte", "OutWRte", "StorCtl_Mod")] == [into, out, mode]


def test_charging_from_the_grid_is_switched_on_only_where_it_is_allowed() -> None:
    bank = House().units[1]
    bank.set(124, "ChaGriSet", 0)
    for allowed in (False, True):
        plan = plan_storage(values(bank, 124), RATED, 500.0, revert_after_s=30.0, allow_grid_charging=allowed)
        assert ("ChaGriSet" in plan.expected) is allowed
    plan = plan_storage(values(bank, 124), RATED, -500.0, revert_after_s=30.0, allow_grid_charging=True)
    assert "ChaGriSet" not in plan.expected


def test_an_inverter_that_cannot_fall_back_by_itself_is_not_given_a_power() -> None:
    bank = House().units[1]
    bank.set(124, "InOutWRte_RvrtTms", 0xFFFF)
    with pytest.raises(UnusableError, match="InOutWRte_RvrtTms"):
        plan_storage(values(bank, 124), RATED, 500.0, revert_after_s=30.0)
    bank = House(704).units[1]
    bank.set(704, "WSetRvrtTms", 0xFFFFFFFF)
    with pytest.raises(UnusableError, match="WSetRvrtTms"):
        plan_der(values(bank, 704), RATED, 500.0, revert_after_s=30.0)


def test_the_rates_refer_to_the_largest_base_so_that_no_device_does_more() -> None:
    bank = House().units[1]
    bank.set(124, "WChaMax", 4000)
    bank.set(120, "MaxDisChaRte", 6000)
    known = ratings(models(bank), None, None)
    assert known.rate_base_w == 6000.0 and known.charge_w == 4000.0 and known.discharge_w == 5000.0


@given(st.floats(-5000, 5000))
def test_model_704_counts_positive_what_is_given_the_house_what_charges(power_w: float) -> None:
    bank = House(704).units[1]
    plan = plan_der(values(bank, 704), RATED, power_w, revert_after_s=30.0)
    carry_out(bank, plan)
    assert bank.get(704, "WSet") == pytest.approx(-power_w, abs=1.0)
    assert abs(bank.get(704, "WSet")) <= abs(power_w) + 1e-6
    assert (bank.get(704, "WSetEna"), bank.get(704, "WSetMod")) == (1, 1)
    assert bank.get(704, "WSetRvrtTms") == 30
    assert (bank.get(704, "WSetRvrt"), bank.get(704, "WSetEnaRvrt")) == (0, 1)
    assert plan.writes[-1].names == ("WSetEna",)
    assert plan.difference(values(bank, 704)) == ""


def test_model_704_by_percent_where_there_are_no_watts() -> None:
    bank = House(704).units[1]
    bank._raw(704, "WSet", -(2**31))
    bank._raw(704, "WSetRvrt", -(2**31))
    plan = plan_der(values(bank, 704), RATED, 1000.0, revert_after_s=30.0)
    carry_out(bank, plan)
    assert bank.get(704, "WSetPct") == -20.0 and bank.get(704, "WSetMod") == 0
    assert plan.power_w == pytest.approx(1000.0)
    bank._raw(704, "WSetPct", -0x8000)
    with pytest.raises(UnusableError, match="neither WSet nor WSetPct"):
        plan_der(values(bank, 704), RATED, 1000.0, revert_after_s=30.0)


def test_what_the_inverter_changed_is_said_by_name() -> None:
    bank = House().units[1]
    plan = plan_storage(values(bank, 124), RATED, 1000.0, revert_after_s=30.0)
    carry_out(bank, plan)
    bank.set(124, "StorCtl_Mod", 0)
    assert plan.difference(values(bank, 124)) == "StorCtl_Mod is 0, written was 3"


@pytest.mark.parametrize(("shown", "stands"), [(30, True), (12, True), (0, False), (31, False)])
def test_a_reversion_time_may_run_down_but_not_be_off(shown: int, stands: bool) -> None:
    bank = House().units[1]
    plan = plan_storage(values(bank, 124), RATED, 1000.0, revert_after_s=30.0)
    carry_out(bank, plan)
    bank.set(124, "InOutWRte_RvrtTms", shown)
    assert (plan.difference(values(bank, 124)) == "") is stands


def test_release_leaves_the_mode() -> None:
    for house, point in ((House(), (124, "StorCtl_Mod")), (House(704), (704, "WSetEna"))):
        bank = house.units[1]
        bank.set(*point, 1)
        carry_out(bank, plan_release(values(bank, point[0])))
        assert bank.get(*point) == 0


def test_ratings_are_the_smallest_of_nameplate_settings_and_file() -> None:
    bank = House().units[1]
    assert ratings(models(bank), None, None) == Ratings(5000.0, 5000.0, 5000.0, 5000.0)
    assert ratings(models(bank), 3000.0, 2000.0).charge_w == 3000.0
    assert ratings(models(bank), 3000.0, 2000.0).discharge_w == 2000.0
    bank.set(121, "WMax", 4000)
    assert ratings(models(bank), None, None).discharge_w == 4000.0
    unknown = ratings({}, None, None)
    assert math.isnan(unknown.charge_w) and math.isnan(unknown.rate_base_w)
    assert ratings({}, 10.0, None).charge_w == 10.0


@pytest.mark.parametrize(
    ("control", "points", "kind", "discharge_w"),
    [
        (124, {}, GridEventKind.NONE, math.nan),
        (124, {(123, "WMaxLimPct"): 60, (123, "WMaxLim_Ena"): 1}, GridEventKind.CURTAILMENT, 3000.0),
        (124, {(123, "WMaxLimPct"): 60, (123, "WMaxLim_Ena"): 0}, GridEventKind.NONE, math.nan),
        (124, {(123, "WMaxLimPct"): 100, (123, "WMaxLim_Ena"): 1}, GridEventKind.NONE, math.nan),
        (124, {(123, "WMaxLimPct"): 0, (123, "WMaxLim_Ena"): 1}, GridEventKind.CURTAILMENT, 0.0),
        (704, {(704, "WMaxLimPct"): 30, (704, "WMaxLimPctEna"): 1}, GridEventKind.CURTAILMENT, 1500.0),
        (124, {(123, "Conn"): 0}, GridEventKind.DISCONNECTED, 0.0),
        (704, {(701, "ConnSt"): 0}, GridEventKind.DISCONNECTED, 0.0),
        (124, {(103, "Evt1"): 1 << 4}, GridEventKind.DISCONNECTED, 0.0),
        (124, {(103, "St"): 7}, GridEventKind.FAULT, 0.0),
        (704, {(701, "InvSt"): 6}, GridEventKind.FAULT, 0.0),
        (704, {(701, "InvSt"): 7}, GridEventKind.NONE, math.nan),
        (124, {(103, "St"): 7, (123, "Conn"): 0}, GridEventKind.FAULT, 0.0),
    ],
)
def test_what_the_inverter_says_of_the_grid(
    control: int, points: dict[tuple[int, str], float], kind: int, discharge_w: float
) -> None:
    bank = House(control).units[1]
    for (number, name), value in points.items():
        bank.set(number, name, value)
    event = grid_state(models(bank), 5000.0, 5.0)
    assert event.kind == kind and bool(event.reason) == (kind != GridEventKind.NONE)
    assert event.discharge_power_w == pytest.approx(discharge_w, nan_ok=True)
    assert event.source == "inverter"


def test_a_curtailment_of_an_unknown_maximum_has_no_number() -> None:
    bank = House().units[1]
    bank.set(123, "WMaxLimPct", 60)
    bank.set(123, "WMaxLim_Ena", 1)
    event = grid_state(models(bank), math.nan, 5.0)
    assert event.kind == GridEventKind.CURTAILMENT and math.isnan(event.discharge_power_w)


def test_the_meter_counts_positive_what_is_drawn_unless_the_file_says_otherwise() -> None:
    bank = House().units[200]
    bank.set(203, "W", 700)
    assert imported_w(values(bank, 203), "import") == 700.0
    assert imported_w(values(bank, 203), "export") == -700.0
    assert generated_w(values(bank, 203), "import") == -700.0


def test_the_inverter_counts_positive_what_it_gives_the_house_what_it_draws() -> None:
    bank = House().units[1]
    bank.set(103, "W", 700)
    assert inverter_power_w(values(bank, 103)) == -700.0
    assert generated_w(values(bank, 103), "import") == 700.0


@pytest.mark.parametrize("floats", [False, True])
def test_a_meter_in_integers_and_in_floats_says_the_same(floats: bool) -> None:
    house = House(floats=floats)
    house.units[200].set(house.at_grid, "W", 500)
    for phase in "ABC":
        house.units[200].set(house.at_grid, f"Wph{phase}", 500 / 3)
    grid = values(house.units[200], house.at_grid)
    meter = site_meter(grid, "import", None, [], [1.0, 2.0], meter="x", reason="", valid_for_s=3.0)
    assert meter.power_w == pytest.approx(500.0)
    assert meter.phase_power_w == pytest.approx([500 / 3] * 3, abs=0.5)
    assert meter.phase_voltage_v == pytest.approx([230.1, 231.2, 230.0], abs=0.01)
    assert meter.phase_current_a == pytest.approx([1.23, 2.0, 0.5], abs=0.001)
    assert meter.frequency_hz == pytest.approx(50.0)
    assert meter.energy_imported_wh == pytest.approx(1234560.0)
    assert meter.energy_exported_wh == pytest.approx(98760.0)
    assert meter.load_power_w == 3.0 and math.isnan(meter.pv_power_w) and math.isnan(meter.inverter_power_w)


def test_a_meter_of_one_phase_has_one_phase() -> None:
    bank = Bank()
    bank.add(201, {"W": 420, "PhVphA": 229.5, "AphA": 1.9}, {"W_SF": 0, "V_SF": -1, "A_SF": -1})
    meter = site_meter(values(bank, 201), "export", None, [], [], meter="", reason="", valid_for_s=3.0)
    assert list(meter.phase_power_w) == [-420.0] and list(meter.phase_voltage_v) == [229.5]
    assert math.isnan(meter.energy_imported_wh) and math.isnan(meter.frequency_hz)


def test_without_a_meter_nothing_is_known_and_nothing_made_up() -> None:
    meter = site_meter(None, "import", None, [math.nan, 4.0], [], meter="", reason="?", valid_for_s=3.0)
    assert math.isnan(meter.power_w) and not meter.phase_power_w.size and math.isnan(meter.pv_power_w)


def test_a_meter_without_a_scale_factor_gives_no_power() -> None:
    bank = Bank()
    bank.add(203, {}, {})
    bank._raw(203, "W", 500)
    assert math.isnan(imported_w(values(bank, 203), "import"))
    bank._raw(203, "W_SF", 12)
    assert math.isnan(imported_w(values(bank, 203), "import"))
