"""A parked pack: a table of what is wrong and what is said, and what noise may never do."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_control.safety.parked.checks import Finding, Lists, check_drift
from openbms_control.safety.parked.drift import Drift, cell_temperatures, measure_drift
from openbms_control.safety.parked.judge import Verdict, judge, wake_after_s
from openbms_control.safety.parked.snapshot import (
    HISTORY_LENGTH,
    HistoryEntry,
    ParkedMemory,
    ParkedSnapshot,
    is_complete,
    take_snapshot,
    why_not_comparable,
)
from openbms_control.safety.parked.thresholds import PARKED
from openbms_core.models.ecm import CellModel
from openbms_core.pack import LoadedPack, PackFile, load_pack
from openbms_core.resources import find_config
from openbms_core.types import UNKNOWN, Level, PackMeasurement

PACK = load_pack(find_config("packs", "demo_96s_nmc"))
MODEL = CellModel.from_file(PACK.cell)
CELLS, SENSORS, AMBIENT = 96, len(PACK.file.topology.sensors), 40
HOUR_S, DAY_S = 3600.0, 86_400.0
START_S = 1.8e9
RNG = np.random.default_rng(5)
SPREAD = RNG.normal(0.0, 0.004, CELLS)


def snapshot(
    after_s: float = 0.0, count: int = 1, *, soc: Any = 0.6, volts: Any = None, **values: Any
) -> ParkedSnapshot:
    """Give a healthy pack at rest, some time after it was parked."""
    temperatures = np.full(SENSORS, 15.0)
    cells = MODEL.ocv(np.clip(np.asarray(soc) + SPREAD, 0.0, 1.0), 15.0) if volts is None else volts
    given = {
        "rested_s": 1e6,
        "cell_voltages_v": np.array(np.broadcast_to(cells, CELLS), float),
        "temperatures_degc": temperatures,
        "balancing": np.zeros(CELLS, bool),
        "insulation_ohm": 5e6,
        "supply_v": 12.7,
        "smoke": 0,
        "gas": 0,
        **values,
    }
    return ParkedSnapshot(START_S + after_s, count, **given)


def memory(first: ParkedSnapshot | None = None, pack: LoadedPack = PACK) -> ParkedMemory:
    return ParkedMemory.begin(pack.file.serial, pack.config_hash, first or snapshot())


def look(now: ParkedSnapshot, before: ParkedMemory | None = None, **more: Any) -> Verdict:
    return judge(PACK, now, before, **more)


def with_cell(snap: ParkedSnapshot, cell: int, change_v: float) -> ParkedSnapshot:
    volts = snap.cell_voltages_v.copy()
    volts[cell] += change_v
    return replace(snap, cell_voltages_v=volts)


def with_sensor(snap: ParkedSnapshot, sensor: int | slice, degc: float) -> ParkedSnapshot:
    temperatures = snap.temperatures_degc.copy()
    temperatures[sensor] = degc
    return replace(snap, temperatures_degc=temperatures)


def later(after_s: float = DAY_S, **values: Any) -> ParkedSnapshot:
    return snapshot(after_s, 2, **values)


def found(verdict: Verdict) -> set[tuple[str, str, int]]:
    return {(finding.code, finding.level, finding.index) for finding in verdict.findings}


def test_a_healthy_pack_is_ok_and_says_how_long_it_lasts() -> None:
    verdict = look(later(), memory())
    assert verdict.level == "ok" and verdict.findings == () and verdict.not_judged == ()
    # 0.1 % a day is all that is known yet of a cell with 0.6: some hundred days
    assert 200.0 < verdict.remaining_days < 1000.0
    assert verdict.remaining_days_at_least < verdict.remaining_days
    assert verdict.memory.last.stamp_s == START_S + DAY_S
    assert verdict.memory.history[-1].level == "ok"


def test_the_first_look_judges_what_needs_no_comparison_and_says_so() -> None:
    verdict = look(snapshot())
    assert verdict.level == "ok" and math.isnan(verdict.remaining_days)
    assert any(text.startswith("drift: nothing from before") for text in verdict.not_judged)
    assert any(text.startswith("rise of temperature") for text in verdict.not_judged)
    assert any(text.startswith("drop of voltage") for text in verdict.not_judged)
    assert verdict.memory.parking is verdict.memory.last
    warm = look(with_sensor(snapshot(), 3, 27.0))
    assert found(warm) == {("HOT_CELL", "warn", 3)}
    assert found(look(with_sensor(snapshot(), 3, 36.0))) == {("HOT_CELL", "alarm", 3)}
    assert found(look(with_sensor(snapshot(), slice(32, None), 45.0))) == set(), "they are at no cells"


TABLE = [
    ("a sensor warms", lambda: with_sensor(later(), 3, 15.0 + 5.1), {("HOT_CELL", "warn", 3)}),
    ("a sensor warms a little", lambda: with_sensor(later(), 3, 15.0 + 4.9), set()),
    ("a sensor warms much", lambda: with_sensor(later(), 3, 15.0 + 10.1), {("HOT_CELL", "alarm", 3)}),
    ("the front end warms", lambda: with_sensor(later(), 33, 45.0), set()),
    ("a hot day", lambda: with_sensor(later(), slice(None), 35.0), set()),
    (
        "all cells warm, the air does not",
        lambda: with_sensor(with_sensor(later(), slice(0, 32), 20.1), 31, 20.1),
        {("PACK_WARMS", "warn", -1)},
    ),
    ("all cells warm much", lambda: with_sensor(later(), slice(0, 32), 25.1), {("PACK_WARMS", "alarm", -1)}),
    (
        "a very hot day",
        lambda: with_sensor(later(), slice(None), 61.0),
        {("OVER_TEMPERATURE", "warn", sensor) for sensor in range(32)},
    ),
    (
        "beyond the safety limit",
        lambda: with_sensor(later(), slice(None), 66.0),
        {("OVER_TEMPERATURE", "alarm", sensor) for sensor in range(32)},
    ),
    (
        "a cell drops",
        lambda: with_cell(later(60.0), 7, -0.021),
        {("VOLTAGE_DROP", "warn", 7), ("SELF_DISCHARGE", "alarm", 7)},
    ),
    ("a cell drops a little", lambda: with_cell(later(60.0), 7, -0.01), set()),
    (
        "a cell drops much",
        lambda: with_cell(later(60.0), 7, -0.11),
        {("VOLTAGE_DROP", "alarm", 7), ("SELF_DISCHARGE", "alarm", 7)},
    ),
    ("low insulation", lambda: later(insulation_ohm=450 * 96 * 3.84), {("LOW_INSULATION", "warn", -1)}),
    ("lost insulation", lambda: later(insulation_ohm=90 * 96 * 3.84), {("LOW_INSULATION", "alarm", -1)}),
    ("good insulation", lambda: later(insulation_ohm=550 * 96 * 3.84), set()),
    ("smoke", lambda: later(smoke=1), {("SMOKE", "alarm", -1)}),
    ("gas", lambda: later(gas=1), {("GAS", "alarm", -1)}),
    ("supply half empty", lambda: later(supply_v=12.1), {("SUPPLY_LOW", "warn", -1)}),
    ("supply empty", lambda: later(supply_v=11.7), {("SUPPLY_LOW", "alarm", -1)}),
    ("a cell is not measured", lambda: with_cell(later(), 9, math.nan), {("NOT_MEASURED", "warn", 9)}),
    ("a sensor is not measured", lambda: with_sensor(later(), 9, math.nan), {("NOT_MEASURED", "warn", 9)}),
]  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_wrong_is_found_and_nothing_else(make: Any, expected: set[tuple[str, str, int]]) -> None:
    verdict = look(make(), memory())
    assert found(verdict) == expected
    levels = {level for _, level, _ in expected}
    assert verdict.level == ("alarm" if "alarm" in levels else "warn" if levels else "ok")
    assert all(finding.text.endswith((".", "?")) for finding in verdict.findings)


FIGURES = [
    (lambda: with_sensor(later(), 3, 20.1), "HOT_CELL", 5.1, 5.0, "K", "Sensor 3 has warmed by 5.1 K "),
    (lambda: with_sensor(later(), 3, 25.1), "HOT_CELL", 10.1, 10.0, "K", "above 10 K."),
    (
        lambda: with_sensor(with_sensor(later(), slice(0, 32), 20.1), 31, 20.1),
        "PACK_WARMS", 5.1, 5.0, "K", "The cells are 5.1 K warmer ",
    ),
    (
        lambda: with_sensor(later(), slice(None), 61.0),
        "OVER_TEMPERATURE", 61.0, 60.0, "°C", "Sensor 0 at the cells has 61 °C, above 60 °C.",
    ),
    (
        lambda: with_cell(later(60.0), 7, -0.021),
        "VOLTAGE_DROP", 0.021, 0.02, "V", "Cell 7 has lost 0.021 V against the median",
    ),
    # 3.8 V over 1000 ohm for a day: 0.091 Ah
    (
        lambda: leaking(DAY_S, 2, 1000.0),
        "SELF_DISCHARGE", 9.12 / MODEL.capacity_ah, 3.0, "% a day", "Cell 7 loses 3.",
    ),
    (
        lambda: leaking(10 * DAY_S, 2, 5000.0),
        "SELF_DISCHARGE", 1.824 / MODEL.capacity_ah, 0.3, "% a day", "above 0.3 % a day",
    ),
    (lambda: snapshot(4 * DAY_S, 2, soc=0.55), "PACK_DISCHARGES", 1.25, 0.5, "% a day", "pack loses 1.2"),
    (
        lambda: later(insulation_ohm=450 * 96 * 3.84),
        "LOW_INSULATION", 450.0, 500.0, "ohm/V", "ohm/V, below 500 ohm/V",
    ),
    (
        lambda: later(volts=np.where(np.arange(CELLS) == 4, 2.4, 3.2)),
        "DEEP_DISCHARGE", 2.4, 2.5, "V", "Cell 4 has 2.400 V, below 2.5 V",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "code", "value", "limit", "unit", "words"),
    FIGURES,
    ids=[f"{row[1]} {row[3]}" for row in FIGURES],
)
def test_a_finding_says_how_much_it_is_and_how_much_may_be(
    make: Any, code: str, value: float, limit: float, unit: str, words: str
) -> None:
    finding = next(finding for finding in look(make(), memory()).findings if finding.code == code)
    assert finding.value == pytest.approx(value, rel=0.03)
    assert (finding.limit, finding.unit) == (pytest.approx(limit), unit)
    assert words in finding.text


def test_at_a_limit_itself_nothing_is_said() -> None:
    at = np.full(CELLS, 3.2)
    at[3] = PACK.file.limits.cell_voltage_min_v.recommended
    assert "DEEP_DISCHARGE" not in {code for code, _, _ in found(look(later(volts=at), memory()))}
    even = Drift(1.0, np.full(CELLS, 0.05), np.zeros(CELLS), np.full(CELLS, 0.01), np.full(CELLS, 0.6))
    lists = Lists()
    check_drift(even, PACK.file, MODEL, PARKED, lists)  # five standard deviations are believed
    assert [finding.code for finding in lists.findings] == ["PACK_DISCHARGES"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: later(insulation_ohm=math.nan), "insulation"),
        (lambda: later(supply_v=math.nan), "low-voltage supply"),
        (lambda: later(smoke=UNKNOWN), "smoke"),
        (lambda: later(gas=UNKNOWN), "gas"),
        (lambda: with_sensor(later(), slice(0, 32), math.nan), "heat"),
        (lambda: with_cell(later(), 9, math.nan), "drift of 1 cell"),
        (lambda: later(balancing=np.arange(CELLS) == 4), "drift of 1 cell"),
        (lambda: later(volts=math.nan), "drift of 96 cell"),
    ],
)
def test_what_cannot_be_judged_is_never_called_fine(make: Any, said: str) -> None:
    verdict = look(make(), memory())
    assert any(text.startswith(said) for text in verdict.not_judged), verdict.not_judged


def test_without_an_ambient_sensor_warming_is_not_judged() -> None:
    before = memory(with_sensor(snapshot(), AMBIENT, math.nan))
    now = with_sensor(with_sensor(later(), AMBIENT, math.nan), slice(0, 32), 30.0)
    verdict = look(now, before)
    assert verdict.findings == ()
    assert any(text.startswith("warming of the whole pack") for text in verdict.not_judged)


def test_of_a_24_volt_supply_twice_as_much_is_expected() -> None:
    before = memory(snapshot(supply_v=25.4))
    assert found(look(later(supply_v=24.0), before)) == {("SUPPLY_LOW", "warn", -1)}
    assert found(look(later(supply_v=17.0), before)) == {("SUPPLY_LOW", "alarm", -1)}
    assert found(look(later(supply_v=25.0), before)) == set()


@pytest.mark.parametrize(
    ("supply_v", "level", "limit_v"),
    [
        (12.19, "warn", PARKED.supply_warn_v),
        (PARKED.supply_alarm_v, "warn", PARKED.supply_warn_v),
        (11.79, "alarm", PARKED.supply_alarm_v),
    ],
)
def test_a_supply_that_is_low_is_found_with_the_bound_that_it_fell_below(
    supply_v: float, level: str, limit_v: float
) -> None:
    (finding,) = look(later(supply_v=supply_v), memory()).findings
    assert (finding.level, finding.index, finding.value) == (level, -1, supply_v)
    assert (finding.limit, finding.unit) == (limit_v, "V")
    assert f"{supply_v:.2f} V, below {limit_v:.2f} V" in finding.text
    assert look(later(supply_v=PARKED.supply_warn_v), memory()).findings == ()


def test_a_supply_that_the_pack_asks_more_of_is_low_sooner() -> None:
    protection = PACK.file.protection.model_copy(update={"supply_voltage_min_v": 12.4})
    pack = replace(PACK, file=PACK.file.model_copy(update={"protection": protection}))
    (finding,) = judge(pack, later(supply_v=12.3), memory(pack=pack)).findings
    assert (finding.code, finding.level, finding.limit) == ("SUPPLY_LOW", "alarm", 12.4)
    protection = PACK.file.protection.model_copy(update={"supply_voltage_min_v": None})
    pack = replace(PACK, file=PACK.file.model_copy(update={"protection": protection}))
    assert judge(pack, later(supply_v=12.3), memory(pack=pack)).findings == ()


def test_what_was_warmer_all_the_time_is_a_sensor_and_what_cools_is_no_heat() -> None:
    biased = memory(with_sensor(snapshot(), 3, 27.0))
    assert look(with_sensor(later(), 3, 27.0), biased).level == "ok"
    assert look(later(), memory(with_sensor(snapshot(), slice(0, 32), 40.0))).level == "ok"
    # but slow warming over many wakes is seen against the parking
    kept = memory()
    for wake in range(1, 8):
        verdict = look(with_sensor(snapshot(wake * HOUR_S, wake + 1), 3, 15.0 + wake), kept)
        kept = verdict.memory
    assert found(verdict) == {("HOT_CELL", "warn", 3)}


def test_two_signs_at_one_place_are_an_alarm() -> None:
    warm = with_sensor(later(60.0), 2, 15.0 + 6.0)  # sensor 2: cells 6, 7, 8
    assert look(warm, memory()).level == "warn"
    beside = look(with_cell(warm, 20, -0.021), memory())
    assert "RUNAWAY_PRECURSOR" not in {finding.code for finding in beside.findings}
    both = look(with_cell(warm, 7, -0.021), memory())
    assert ("RUNAWAY_PRECURSOR", "alarm", 7) in found(both)
    assert both.findings[0].level == "alarm"
    first = with_sensor(later(60.0), 0, 15.0 + 6.0)
    assert ("RUNAWAY_PRECURSOR", "alarm", 1) in found(look(with_cell(first, 1, -0.021), memory()))
    beside = look(with_cell(first, 20, -0.021), memory())
    assert "RUNAWAY_PRECURSOR" not in {finding.code for finding in beside.findings}
    everywhere = with_sensor(later(60.0), slice(0, 32), 21.0)
    assert ("RUNAWAY_PRECURSOR", "alarm", 50) in found(look(with_cell(everywhere, 50, -0.021), memory()))


def test_a_warm_sensor_that_is_assigned_to_no_cell_stands_for_all() -> None:
    data = PACK.file.model_dump()
    for row in data["topology"]["temperature_sensors"]:
        row["cells_each"] = 0
    pack = replace(PACK, file=PackFile.model_validate(data))
    warm = with_cell(with_sensor(later(60.0), 2, 15.0 + 6.0), 50, -0.021)
    assert ("RUNAWAY_PRECURSOR", "alarm", 50) in found(judge(pack, warm, memory(pack=pack)))


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([("SMOKE_ALARM", Level.SAFETY)], {("FAULT:SMOKE_ALARM", "alarm", -1)}),
        ([("SOME_WARNING", Level.RECOMMENDED)], {("FAULT:SOME_WARNING", "warn", -1)}),
        ([("CELL_OVER_VOLTAGE_OPERATING", Level.OPERATING)], set()),
        ([("ESTIMATOR_LOST", Level.RECOMMENDED), ("LIMP_HOME_EXPIRED", Level.SAFETY)], set()),
    ],
)  # fmt: skip
def test_what_the_monitor_says_counts(faults: Any, expected: Any) -> None:
    assert found(look(later(), memory(), faults=faults)) == expected


# ---- drift -----------------------------------------------------------------------------------------------


def leaking(after_s: float, count: int, ohm: float, cell: int = 7) -> ParkedSnapshot:
    """Give the pack with a resistor across one cell since the parking."""
    soc = np.full(CELLS, 0.6)
    soc[cell] -= 3.8 / ohm * after_s / 3600.0 / MODEL.capacity_ah
    return snapshot(after_s, count, soc=soc)


@pytest.mark.parametrize(
    ("ohm", "hours", "expected"),
    [
        # 3 Ah: 100 ohm are 38 mA, 1.4 % an hour; the voltages are known to 3 mV, 0.4 % here
        (100.0, 0.25, set()),
        (100.0, 3.0, {("SELF_DISCHARGE", "alarm", 7), ("VOLTAGE_DROP", "warn", 7)}),
        (1000.0, 3.0, set()),
        (1000.0, 24.0, {("SELF_DISCHARGE", "alarm", 7), ("VOLTAGE_DROP", "warn", 7)}),
        (5000.0, 24.0, set()),
        (5000.0, 240.0, {("SELF_DISCHARGE", "warn", 7), ("VOLTAGE_DROP", "warn", 7)}),
    ],
)
def test_a_leak_is_found_when_there_was_time_for_it(ohm: float, hours: float, expected: set[Any]) -> None:
    assert found(look(leaking(hours * HOUR_S, 2, ohm), memory())) == expected


def test_the_evidence_of_a_leak_grows_with_the_square_of_the_time() -> None:
    evidence = []
    for hours in (5.0, 10.0, 20.0):
        drift = measure_drift(snapshot(), leaking(hours * HOUR_S, 2, 500.0), PACK.file, MODEL, PARKED)
        evidence.append(drift.evidence[7] ** 2)
        rate_a = drift.excess[7] / (hours * HOUR_S) * 3600.0 * MODEL.capacity_ah
        assert rate_a == pytest.approx(3.8 / 500.0, rel=0.02)
    assert evidence[1] / evidence[0] == pytest.approx(4.0, rel=0.15)
    assert evidence[2] / evidence[1] == pytest.approx(4.0, rel=0.15)


def test_a_leak_that_is_too_slow_for_one_interval_is_found_over_many() -> None:
    kept, seen = memory(), []
    for wake in range(1, 40):
        verdict = look(leaking(wake * 6 * HOUR_S, wake + 1, 4000.0), kept)
        kept = verdict.memory
        seen.append("SELF_DISCHARGE" in {finding.code for finding in verdict.findings})
    assert not seen[0] and seen[-1]
    assert seen == sorted(seen), "once found it stays found"


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    noise_v=st.floats(0.0, 0.002),
    soc=st.floats(0.1, 0.95),
    hours=st.lists(st.floats(0.2, 100.0), min_size=1, max_size=6),
)
def test_noise_of_two_millivolts_and_constant_offsets_never_warn(
    seed: int, noise_v: float, soc: float, hours: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    offset = rng.normal(0.0, 0.003, CELLS)

    def noisy(after_s: float, count: int) -> ParkedSnapshot:
        it = snapshot(after_s, count, soc=soc)
        return replace(
            it, cell_voltages_v=it.cell_voltages_v + offset + rng.uniform(-noise_v, noise_v, CELLS)
        )

    kept, at_s = memory(noisy(0.0, 1)), 0.0
    for wake, step in enumerate(hours):
        at_s += step * HOUR_S
        verdict = look(noisy(at_s, wake + 2), kept)
        kept = verdict.memory
        assert not {"SELF_DISCHARGE", "VOLTAGE_DROP", "PACK_DISCHARGES"} & {f.code for f in verdict.findings}


@settings(max_examples=40, deadline=None)
@given(days=st.floats(0.5, 60.0), per_day=st.floats(0.0, 0.004), soc=st.floats(0.35, 0.9))
def test_what_all_cells_lose_alike_is_no_leak(days: float, per_day: float, soc: float) -> None:
    verdict = look(snapshot(days * DAY_S, 2, soc=soc - min(days * per_day, 0.25)), memory(snapshot(soc=soc)))
    assert not {"SELF_DISCHARGE", "PACK_DISCHARGES"} & {finding.code for finding in verdict.findings}


def test_a_load_on_the_whole_pack_is_said() -> None:
    verdict = look(snapshot(4 * DAY_S, 2, soc=0.55), memory())
    assert found(verdict) == {("PACK_DISCHARGES", "warn", -1)}


def test_balancing_is_excluded_where_it_is_known_and_not_judged_where_it_is_not() -> None:
    soc = np.full(CELLS, 0.6)
    soc[7] -= 0.1  # bled down to the others
    now = snapshot(DAY_S, 2, soc=soc)
    assert ("SELF_DISCHARGE", "alarm", 7) in found(look(now, memory()))
    bled = np.where(np.arange(CELLS) == 7, 0.1 * MODEL.capacity_ah, 0.0)
    assert "SELF_DISCHARGE" not in {code for code, _, _ in found(look(now, memory(), bled_ah=bled))}
    before = memory(snapshot(balancing=np.arange(CELLS) == 7))
    verdict = look(now, before)
    assert "SELF_DISCHARGE" not in {code for code, _, _ in found(verdict)}
    assert any(text.startswith("drift of 1 cell") for text in verdict.not_judged)


def test_cells_that_have_not_settled_are_given_time_and_then_a_new_reference() -> None:
    relaxing = RNG.normal(0.0, 0.004, CELLS)

    def at(after_s: float, count: int) -> ParkedSnapshot:
        it = snapshot(after_s, count, rested_s=60.0)
        return replace(it, cell_voltages_v=it.cell_voltages_v + relaxing * math.exp(-after_s / 1800.0))

    kept = memory(at(0.0, 1))
    for wake, hours in enumerate((0.5, 1.0, 1.5, 3.0, 6.0)):
        verdict = look(at(hours * HOUR_S, wake + 2), kept)
        assert verdict.level == "ok", verdict.findings
        kept = verdict.memory
    assert kept.reference.stamp_s == START_S + 3.0 * HOUR_S
    assert kept.parking.stamp_s == START_S
    assert kept.last.rested_s == pytest.approx(60.0 + 6 * HOUR_S), "time at rest adds up over the wakes"


@pytest.mark.parametrize(
    ("soc", "days", "per_day", "expected"),
    [
        (0.9, 1.0, 0.0, None),
        (0.2, 4.0, 0.02, "warn"),  # 14 % left after four days: a week
        (0.1, 4.0, 0.02, "alarm"),
    ],
)
def test_the_days_that_are_left(soc: float, days: float, per_day: float, expected: str | None) -> None:
    after = soc - days * per_day
    verdict = look(snapshot(days * DAY_S, 2, soc=after), memory(snapshot(soc=soc)))
    floor = float(MODEL.soc_from_ocv(PACK.file.limits.cell_voltage_min_v.safety, 25.0))
    left = after + SPREAD.min() - floor
    if per_day:
        # around 12 % the curve is flat: between its branches lie 4 % of the charge, two days at this rate
        assert verdict.remaining_days == pytest.approx(left / per_day, abs=0.05 / per_day)
    soon = [finding for finding in verdict.findings if finding.code == "EMPTY_SOON"]
    assert {finding.level for finding in soon} == ({expected} if expected else set())
    for finding in soon:
        assert (finding.value, finding.unit) == (verdict.remaining_days, "days")
        assert finding.limit == (PARKED.empty_alarm_days if expected == "alarm" else PARKED.empty_warn_days)
        assert finding.index == int(np.argmin(SPREAD))
        assert f"Cell {finding.index} reaches 2.5 V in {verdict.remaining_days:.1f} days" in finding.text
        assert f"in {verdict.remaining_days_at_least:.1f} days at the earliest" in finding.text
    assert verdict.remaining_days_at_least <= verdict.remaining_days


def test_before_anything_is_measured_three_times_the_usual_loss_is_the_fastest() -> None:
    verdict = look(snapshot(60.0, 2), memory())
    assert verdict.remaining_days_at_least == pytest.approx(verdict.remaining_days / 3.0, rel=0.01)


def test_a_pack_that_gains_charge_never_runs_empty() -> None:
    verdict = look(snapshot(30 * DAY_S, 2, soc=0.7), memory())
    assert verdict.remaining_days == math.inf == verdict.remaining_days_at_least


def test_a_pack_below_its_limits_is_said() -> None:
    low = np.full(CELLS, 3.2)
    low[3], low[4] = 2.7, 2.4
    verdict = look(later(volts=low), memory(snapshot(volts=low)))
    assert {("DEEP_DISCHARGE", "warn", 3), ("DEEP_DISCHARGE", "alarm", 4)} <= found(verdict)
    assert verdict.remaining_days == 0.0


# ---- what is remembered ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"start_count": 3}, "the system ran in between"),
        ({"start_count": 1}, "the system ran in between"),
        ({"stamp_s": START_S}, "the clock was set meanwhile"),
        ({"stamp_s": START_S + 0.5}, ""),
        ({"stamp_s": START_S - 5.0}, "the clock was set meanwhile"),
        ({"stamp_s": START_S + 3 * 365 * DAY_S}, "the clock was set meanwhile"),
        ({"cell_voltages_v": np.full(12, 3.7)}, "it has other cells or sensors"),
        ({"temperatures_degc": np.full(12, 3.7)}, "it has other cells or sensors"),
        ({}, ""),
    ],
)
def test_what_cannot_be_compared_is_not(change: dict[str, Any], why: str) -> None:
    now = replace(later(), **change)
    same = {"serial": PACK.file.serial, "config_hash": PACK.config_hash, "longest_s": PARKED.longest_s}
    assert why_not_comparable(memory(), now, **same) == why
    other = {**same, "config_hash": "x"}
    assert why_not_comparable(memory(), later(), **other) == "it is of another pack or configuration"


def test_a_check_that_saw_nothing_is_no_drive() -> None:
    before = look(later(), memory()).memory.with_missed().with_missed()
    assert "drift" not in " ".join(look(snapshot(2 * DAY_S, 5), before).not_judged)
    assert look(snapshot(2 * DAY_S, 5), before).memory.missed == 0
    assert any("ran in between" in text for text in look(snapshot(2 * DAY_S, 3), before).not_judged)


def test_after_a_drive_it_begins_anew_and_keeps_the_history() -> None:
    before = look(later(), memory()).memory
    drained = snapshot(2 * DAY_S, 9, soc=0.3)
    verdict = look(drained, before)
    assert verdict.level == "ok", verdict.findings
    assert "what was remembered is not used: the system ran in between" in verdict.not_judged
    assert verdict.memory.parking.stamp_s == drained.stamp_s
    assert len(verdict.memory.history) == 2
    other = replace(before, serial="another")
    assert len(look(drained, other).memory.history) == 1, "the history of another pack is not this one's"


def test_the_history_says_what_was_seen() -> None:
    now = with_sensor(with_cell(later(supply_v=12.1), 9, math.nan), 3, 21.0)
    verdict = look(with_sensor(now, 4, math.nan), memory())
    (entry,) = verdict.memory.history
    assert (entry.stamp_s, entry.level) == (now.stamp_s, "warn")
    assert entry.codes == tuple(dict.fromkeys(finding.code for finding in verdict.findings))
    assert entry.cell_voltage_min_v == np.nanmin(now.cell_voltages_v)
    assert (entry.temperature_max_degc, entry.insulation_ohm, entry.supply_v) == (21.0, 5e6, 12.1)
    assert entry.remaining_days == verdict.remaining_days > 0.0
    nothing = with_sensor(later(volts=math.nan), slice(None), math.nan)
    (entry,) = look(nothing, memory()).memory.history
    assert math.isnan(entry.cell_voltage_min_v) and math.isnan(entry.temperature_max_degc)


def test_the_history_is_bounded() -> None:
    kept = memory()
    for wake in range(HISTORY_LENGTH + 20):
        kept = kept.follow(later(), HistoryEntry(float(wake), "ok"), PARKED.settled_s)
    assert len(kept.history) == HISTORY_LENGTH
    assert kept.history[-1].stamp_s == HISTORY_LENGTH + 19


def verdict_of(*codes: tuple[str, str]) -> Verdict:
    findings = tuple(Finding(code, level, "x.") for code, level in codes)
    return Verdict("", findings, (), math.nan, math.nan, memory())


@pytest.mark.parametrize(
    ("findings", "interval_s", "expected_s"),
    [
        ((), 21_600.0, 21_600.0),
        ((("HOT_CELL", "warn"),), 21_600.0, 5400.0),
        ((("HOT_CELL", "warn"), ("SMOKE", "alarm")), 21_600.0, 900.0),
        ((("SUPPLY_LOW", "alarm"),), 21_600.0, 21_600.0),
        ((("EMPTY_SOON", "alarm"), ("DEEP_DISCHARGE", "warn")), 21_600.0, 21_600.0),
        ((("HOT_CELL", "warn"),), 1200.0, 600.0),
        ((("SMOKE", "alarm"),), 300.0, 300.0),
    ],
)
def test_the_next_wake_comes_sooner_where_looking_helps(
    findings: Any, interval_s: float, expected_s: float
) -> None:
    assert wake_after_s(verdict_of(*findings), interval_s) == expected_s


# ---- from scans to a snapshot ----------------------------------------------------------------------------


def scan(stamp_s: float = 0.0, **values: Any) -> PackMeasurement:
    m = PackMeasurement.empty(CELLS, SENSORS, 1, stamp_s=stamp_s)
    m.cell_voltages_v[:], m.temperatures_degc[:], m.cell_balancing[:] = 3.7, 20.0, 0
    m.insulation_resistance_ohm, m.supply_voltage_v, m.smoke = 5e6, 12.6, 0
    for name, value in values.items():
        setattr(m, name, value)
    return m


def test_a_snapshot_is_the_median_of_its_scans() -> None:
    wild = np.full(CELLS, 5.0)
    partly = np.full(CELLS, 3.7)
    partly[3] = math.nan
    balancing = np.zeros(CELLS, np.uint8)
    balancing[5] = 1
    scans = [
        scan(1.0),
        scan(2.0, cell_voltages_v=wild, insulation_resistance_ohm=1e3, supply_voltage_v=99.0),
        scan(3.0, cell_voltages_v=partly, cell_balancing=balancing),
    ]
    taken = take_snapshot(scans, start_count=4, rested_s=9.0)
    assert (taken.stamp_s, taken.start_count, taken.rested_s) == (3.0, 4, 9.0)
    assert taken.cell_voltages_v[0] == 3.7
    assert taken.cell_voltages_v[3] == pytest.approx(4.35), "of two values: the middle"
    assert taken.balancing.nonzero()[0].tolist() == [5]
    assert taken.smoke == 0 and taken.gas == UNKNOWN
    assert (taken.insulation_ohm, taken.supply_v) == (5e6, 12.6)
    assert (taken.temperatures_degc == 20.0).all()
    nothing = take_snapshot([scan(cell_voltages_v=np.full(CELLS, math.nan))], start_count=1, rested_s=0.0)
    assert np.isnan(nothing.cell_voltages_v).all()


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 0, 1], 0), ([1, 0], 1), ([UNKNOWN, 1], 1), ([UNKNOWN], UNKNOWN)]
)
def test_a_detector_says_what_most_scans_say(codes: list[int], expected: int) -> None:
    taken = take_snapshot([scan(smoke=code) for code in codes], start_count=1, rested_s=0.0)
    assert taken.smoke == expected


def test_a_scan_is_complete_with_all_that_the_pack_measures() -> None:
    assert is_complete(scan(), PACK.file)
    for name in ("insulation_resistance_ohm", "supply_voltage_v"):
        assert not is_complete(scan(**{name: math.nan}), PACK.file)
    for name, size in (("cell_voltages_v", CELLS), ("temperatures_degc", SENSORS)):
        broken = np.full(size, 20.0)
        broken[1] = math.nan
        assert not is_complete(scan(**{name: broken}), PACK.file)
    front_end = np.full(SENSORS, 20.0)
    front_end[35] = math.nan
    assert is_complete(scan(temperatures_degc=front_end), PACK.file), "a front end is no cell"


def test_a_pack_that_measures_less_asks_for_less(tmp_path: Path) -> None:
    data = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    less = ("insulation_resistance_ohm", "supply_voltage_v")
    data["device"]["signals"] = [entry for entry in data["device"]["signals"] if entry["to"] not in less]
    data["protection"] = {
        key: value for key, value in (data.get("protection") or {}).items() if not key.startswith("supply")
    }
    path = tmp_path / "less.yaml"
    path.write_text(yaml.safe_dump(data))
    bare = scan(insulation_resistance_ohm=math.nan, supply_voltage_v=math.nan)
    assert is_complete(bare, load_pack(path).file)


def test_a_cell_without_sensor_takes_the_mean_of_the_others() -> None:
    some = with_sensor(with_sensor(snapshot(), 0, math.nan), 1, 21.0)
    degc = cell_temperatures(some, PACK.file)
    assert degc[3] == 21.0 and degc[0] == pytest.approx((30 * 15.0 + 21.0) / 31)
    none = cell_temperatures(with_sensor(snapshot(), slice(None), math.nan), PACK.file)
    assert (none == 25.0).all()
    with pytest.raises(ValueError, match="argument"):
        cell_temperatures(replace(snapshot(), temperatures_degc=np.zeros(3)), PACK.file)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_nothing_that_is_missing_breaks_it(data: st.DataObject) -> None:
    def holes(count: int, value: float) -> np.ndarray:
        gone = data.draw(st.lists(st.integers(0, count - 1), max_size=count))
        array = np.full(count, value)
        array[gone] = math.nan
        return array

    def any_snapshot(after_s: float, count: int) -> ParkedSnapshot:
        return snapshot(
            after_s, count, volts=holes(CELLS, 3.7), temperatures_degc=holes(SENSORS, 20.0),
            insulation_ohm=data.draw(st.sampled_from([math.nan, 5e6])),
            supply_v=data.draw(st.sampled_from([math.nan, 12.6])),
            smoke=data.draw(st.sampled_from([0, UNKNOWN])),
            gas=data.draw(st.sampled_from([0, UNKNOWN])),
            rested_s=data.draw(st.floats(0.0, 1e6)),
        )  # fmt: skip

    first = any_snapshot(0.0, 1)
    verdict = look(any_snapshot(HOUR_S, 2), look(first, None).memory)
    assert verdict.level in ("ok", "warn")
    assert {finding.code for finding in verdict.findings} <= {"NOT_MEASURED"}
