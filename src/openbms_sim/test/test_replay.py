"""The recorded test as source: what is measured comes out, charge is known, pauses stand still."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from openbms_core.config_file import ConfigError
from openbms_core.types import State
from openbms_sim.interface import Inputs
from openbms_sim.record import Record, load_record
from openbms_sim.replay import Replay
from openbms_sim.vehicle import Permission, Vehicle

CLOSED = np.array([[True, True, False]])
RUN = Inputs(closed=CLOSED, zero_current=False)
HEAD = "time_s,voltage_v,current_a,temperature_c,ah\n"


def small() -> Record:
    return Record(
        time_s=np.array([0.0, 1.0, 3.0]),
        voltage_v=np.array([4.0, 3.8, 3.9]),
        current_a=np.array([0.0, -2.0, -1.0]),
        temperature_degc=np.array([20.0, 21.0, 22.0]),
        charge_ah=np.array([0.0, -1.0, -4.0]) / 3600,
        soc0=0.9,
        capacity_ah=0.01,
    )


def test_the_shipped_record_gives_back_the_cyclers_charge_at_any_speed() -> None:
    record = load_record()
    for dt_s in (0.1, 1.0, 7.3):
        replay = Replay(record, 3)
        charge_as = 0.0
        while not replay.finished:
            charge_as += float(replay.step(RUN, dt_s).string_currents_a[0]) * dt_s
        # The integral of the current and the cycler's own counter differ by less than 0.2 % of capacity.
        assert charge_as / 3600 == pytest.approx(record.charge_ah[-1], abs=0.006)
        truth = replay.truth()
        assert truth.cell_soc[0] == pytest.approx(1.0 - 2.55818 / 2.778, abs=1e-4)
        assert truth.finished and truth.test_time_s == truth.test_duration_s == pytest.approx(7382.451)
        assert np.isnan(truth.cell_soc[1:]).all() and np.isnan(truth.cell_core_degc).all()


def test_means_are_those_of_the_straight_lines_between_samples() -> None:
    record = small()
    assert record.mean(0.0, 1.0) == (pytest.approx(3.9), pytest.approx(-1.0))
    assert record.mean(1.0, 3.0) == (pytest.approx(3.85), pytest.approx(-1.5))
    assert record.mean(0.0, 3.0)[1] == pytest.approx(-4.0 / 3.0)
    assert record.mean(0.5, 0.5) == (pytest.approx(3.9), pytest.approx(-1.0))
    assert record.soc_at(3.0) == pytest.approx(0.9 - 4.0 / 3600 / 0.01)


def test_cell_0_is_the_recorded_one_and_the_others_lie_millivolts_beside() -> None:
    record = load_record()
    replay = Replay(record, 96, seed=3)
    for _ in range(100):
        readings = replay.step(RUN, 0.1)
    assert readings.cell_voltages_v[0] == pytest.approx(record.mean(9.9, 10.0)[0])
    beside = readings.cell_voltages_v[1:] - readings.cell_voltages_v[0]
    assert 0.001 < beside.std() < 0.01 and np.abs(beside).max() < 0.025
    assert readings.cell_surface_degc[0] == pytest.approx(record.temperature_at(10.0))


@pytest.mark.parametrize(
    "rest",
    [
        Inputs(closed=np.array([[False, False, False]]), zero_current=False),
        Inputs(closed=np.array([[False, True, True]]), zero_current=False),
        Inputs(closed=CLOSED, zero_current=True),
    ],
)
def test_it_stands_still_with_zero_current_until_it_may_run(rest: Inputs) -> None:
    replay = Replay(load_record(), 2)
    replay.step(rest, 0.1)
    assert replay.test_time_s == 0.0
    for _ in range(300):
        replay.step(RUN, 0.1)
    at = replay.test_time_s
    for _ in range(10):
        readings = replay.step(rest, 0.1)
        assert readings.string_currents_a[0] == 0.0
    assert replay.test_time_s == at
    _, current = replay.record.mean(at, at)
    ohmic = current * replay.record.ohmic_resistance_ohm
    assert readings.cell_voltages_v[0] == pytest.approx(replay.record.voltage_at(at) - ohmic)
    replay.step(RUN, 0.1)
    assert replay.test_time_s > at


def test_the_record_shows_its_own_resistance() -> None:
    assert 0.014 < load_record().ohmic_resistance_ohm < 0.020
    assert small().ohmic_resistance_ohm == 0.02


def test_link_follows_precharge_and_main_contactors() -> None:
    replay = Replay(load_record(), 96)
    precharging = Inputs(closed=np.array([[False, True, True]]))
    for _ in range(20):
        readings = replay.step(precharging, 0.01)
    assert readings.link_voltage_v == pytest.approx(0.632 * readings.string_voltages_v[0], rel=0.05)
    assert readings.string_currents_a[0] == 0.0
    readings = replay.step(RUN, 0.01)
    assert readings.link_voltage_v == readings.string_voltages_v[0]


def test_csv_with_given_start_and_capacity(tmp_path: Path) -> None:
    file = tmp_path / "test.csv"
    file.write_text(HEAD + "10,3.7,-1,25,0\n11,3.6,-1,25,-0.00028\n")
    record = load_record(file, soc0=0.5, capacity_ah=3.0)
    assert record.duration_s == 1.0 and record.soc0 == 0.5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEAD + "0,3.7,-1,25,0\n1,3.6,-1,25,0\n", "replay_soc0"),
        ("time_s,voltage_v\n0,3.7\n", "current_a is missing"),
        (HEAD + "0,3.7,x,25,0\n", "test.csv:2: column current_a: 'x' is not a number"),
        (HEAD + "0,3.7,nan,25,0\n1,3.6,-1,25,0\n", "row 1, column current_a"),
        (HEAD + "0,3.7,-1,25,0\n0,3.6,-1,25,0\n", "must rise"),
        (HEAD, "at least two"),
        ("", "time_s is missing"),
    ],
)
def test_bad_records_are_refused_in_one_sentence(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "test.csv"
    file.write_text(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_record(file)
    assert str(file) in str(caught.value)


def test_absent_and_broken_parquet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_record(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(ConfigError, match="not a readable Parquet"):
        load_record(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        (Permission(), 0.0),
        (Permission(State.DRIVE, True, 9, 9), 0.0),
        (Permission(State.STANDBY, False, 9, 9), 0.0),
        (Permission(State.CHARGE, False, 9, 9), 0.0),
        (Permission(State.DRIVE, False, 9, 9), -3.0),
        (Permission(State.CONNECTED, False, 9, 9), -3.0),
        (Permission(State.DRIVE, False, 9, 1.5), -1.5),
        (Permission(State.DRIVE, False, 9, 0.0), 0.0),
    ],
)
def test_the_vehicle_obeys(permission: Permission, expected: float) -> None:
    record = Record(
        *(np.array(x) for x in ([0.0, 9.0], [4.0, 4.0], [-1.5, -1.5], [20.0, 20.0], [0.0, 0.0])), 1, 3
    )
    vehicle = Vehicle(record, factor=2.0)
    for _ in range(3):  # also past the end of the cycle
        assert vehicle.current_a(permission, 4.0) == pytest.approx(expected)
