"""The fault table is complete and consistent, and refuses packs whose reactions would be too slow."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from openbms_core.config_file import ConfigError
from openbms_core.faults import (
    FAULT_BY_ID,
    FAULT_NAMES,
    FAULT_TABLE,
    Action,
    check_timing,
    default_thresholds,
    driver_lost_after_s,
    fault_rows,
    limit_value,
    not_monitored,
    reaction,
)
from openbms_core.pack import Limits, LoadedPack, PackFile, load_pack
from openbms_core.types import Level


@pytest.fixture(scope="module")
def demo() -> LoadedPack:
    return load_pack("demo_96s_nmc")


def changed(pack: LoadedPack, path: Path = Path("changed.yaml"), **parts) -> LoadedPack:
    data = copy.deepcopy(pack.file.model_dump())
    for key, value in parts.items():
        if isinstance(value, dict):
            data[key].update(value)
        else:
            data[key] = value
    return LoadedPack(path, PackFile.model_validate(data), pack.cell)


def test_identifiers_are_unique_and_end_in_their_level_where_there_are_several():
    assert len(FAULT_BY_ID) == len(FAULT_TABLE)
    for row in FAULT_TABLE:
        assert re.fullmatch(r"[A-Z_]+", row.id)
        several = sum(other.name == row.name for other in FAULT_TABLE) > 1
        assert row.id == (f"{row.name}_{row.level.name}" if several else row.name)


def test_every_row_explains_itself_in_sentences():
    for row in FAULT_TABLE:
        for text in (row.means, row.does, row.cure):
            assert text.endswith(".") and text[0].isupper(), (row.id, text)


def test_only_safety_rows_open_and_every_limit_triple_has_three_levels():
    for row in FAULT_TABLE:
        assert not row.opens or row.level == Level.SAFETY, row.id
        assert not row.opens or (row.charge_factor == row.discharge_factor == 0.0), row.id
    for name in {row.name for row in FAULT_TABLE if row.limit in Limits.model_fields} - {
        "HEATER_STUCK_ON_HOT"
    }:
        assert [row.level for row in FAULT_TABLE if row.name == name] == list(Level)


def test_rows_beyond_the_limits_of_a_direction_do_not_forbid_the_other_one():
    assert FAULT_BY_ID["CELL_OVER_VOLTAGE_RECOMMENDED"].charge_factor == 0.0
    assert FAULT_BY_ID["CELL_OVER_VOLTAGE_RECOMMENDED"].discharge_factor == 1.0
    assert FAULT_BY_ID["CELL_UNDER_VOLTAGE_RECOMMENDED"].charge_factor == 1.0
    assert FAULT_BY_ID["UNDER_TEMPERATURE_CHARGE_RECOMMENDED"].discharge_factor == 1.0


def test_an_overcharged_cell_may_be_bled_and_a_cold_one_heated():
    assert Action.NO_BALANCING not in FAULT_BY_ID["CELL_OVER_VOLTAGE_SAFETY"].action
    assert Action.NO_HEATING not in FAULT_BY_ID["UNDER_TEMPERATURE_CHARGE_SAFETY"].action
    assert Action.NO_HEATING in FAULT_BY_ID["OVER_TEMPERATURE_DISCHARGE_SAFETY"].action


def test_defaults_are_the_timings_of_foxbms_in_seconds():
    expected = {
        "CELL_OVER_VOLTAGE": (0.5, 0.2),
        "CELL_UNDER_VOLTAGE": (0.5, 0.2),
        "OVER_CURRENT_CHARGE": (0.1, 0.1),
        "OVER_CURRENT_DISCHARGE": (0.1, 0.1),
        "OVER_TEMPERATURE_CHARGE": (5.0, 1.0),
        "UNDER_TEMPERATURE_DISCHARGE": (5.0, 1.0),
        "INTERLOCK_OPEN": (0.1, 0.1),
        "CONTACTOR_FEEDBACK_MISMATCH": (0.2, 0.1),
    }
    for row in FAULT_TABLE:
        if row.name in expected:
            assert (row.timing.debounce_s, row.timing.delay_s) == expected[row.name], row.id


def test_the_demonstration_pack_reacts_in_time(demo):
    check_timing(demo)
    for row in fault_rows(demo.file):
        assert reaction(row, demo.file).total_s <= row.timing.fault_tolerant_time_s


def test_what_the_pack_does_not_measure_is_listed_not_monitored(demo):
    assert "GAS_ALARM" in {row.id for row in fault_rows(demo.file)}
    device = {
        "signals": [
            entry
            for entry in demo.file.model_dump()["device"]["signals"]
            if entry["to"] not in ("string_current_a", "smoke", "gas", "temperature_degc")
        ]
    }
    listed = set(not_monitored(changed(demo, device=device).file))
    assert {
        "SMOKE_ALARM",
        "GAS_ALARM",
        "CURRENT_MISSING",
        "OVER_CURRENT_CHARGE_SAFETY",
        "OVER_TEMPERATURE_CHARGE_SAFETY",
    } <= listed
    assert "CELL_OVER_VOLTAGE_SAFETY" not in listed


def test_an_ambient_sensor_does_not_watch_cells(demo):
    signals = demo.file.model_dump()["device"]["signals"]
    signals = [s for s in signals if s["to"] != "temperature_degc" or s["signal"] == "AmbientTemperature"]
    pack = changed(demo, device={"signals": signals}).file
    assert "TEMPERATURE_MISSING" in not_monitored(pack)


def test_packs_without_contactors_have_no_contactor_faults(demo):
    pack = changed(demo, contactors={"authority": "none"}).file
    assert {"CONTACTOR_WELDED", "PRECHARGE_TIMEOUT", "CURRENT_ON_OPEN_STRING"} <= set(not_monitored(pack))


def test_overrides_replace_only_what_they_name(demo):
    pack = changed(demo, faults={"CELL_OVER_VOLTAGE": {"debounce_s": 0.3}}).file
    rows = {row.id: row for row in fault_rows(pack)}
    for level in Level:
        timing = rows[f"CELL_OVER_VOLTAGE_{level.name}"].timing
        assert (timing.debounce_s, timing.delay_s, timing.fault_tolerant_time_s) == (0.3, 0.2, 2.0)
    assert rows["CELL_UNDER_VOLTAGE_SAFETY"].timing.debounce_s == 0.5


def test_an_unknown_fault_name_is_refused_with_the_nearest_one(demo):
    pack = changed(demo, faults={"CELL_OVERVOLTAGE": {"debounce_s": 0.3}})
    with pytest.raises(ConfigError, match=r"faults.CELL_OVERVOLTAGE.*Did you mean 'CELL_OVER_VOLTAGE'\?"):
        check_timing(pack)
    with pytest.raises(ConfigError, match="Known: CELL_OVER_VOLTAGE"):
        fault_rows(changed(demo, faults={"X": {}}).file)


def test_a_slow_scan_is_refused_and_the_error_names_the_numbers(demo):
    pack = changed(demo, measurement={"scan_period_s": 1.0})
    with pytest.raises(ConfigError) as error:
        check_timing(pack)
    text = str(error.value)
    assert "faults.OVER_CURRENT_DISCHARGE" in text and "faults.CELL_OVER_VOLTAGE" in text
    assert "scans 2 s + debounce 0.5 s + software 0.05 s + delay 0.2 s + opening 0.5 s = 3.25 s" in text
    assert "above its fault-tolerant time 2 s" in text and "fault_tolerant_time_s to at least 3.3" in text


def test_a_stale_time_is_part_of_the_reaction_to_missing_data(demo):
    ages = {**demo.file.measurement.max_age_s, "cell_voltage_v": 6.0}
    with pytest.raises(
        ConfigError, match=r"CELL_VOLTAGE_MISSING: the worst reaction is staleness 6 s \+ scans 0.2 s"
    ):
        check_timing(changed(demo, measurement={"max_age_s": ages}))
    check_timing(
        changed(
            demo,
            measurement={"max_age_s": ages},
            faults={"CELL_VOLTAGE_MISSING": {"fault_tolerant_time_s": 8.0}},
        )
    )


def test_the_error_names_file_and_line(demo, tmp_path):
    file = tmp_path / "pack.yaml"
    file.write_text("schema_version: 1\nfaults:\n  CELL_OVER_VOLTAGE: {debounce_s: 5.0}\n")
    pack = changed(demo, path=file, faults={"CELL_OVER_VOLTAGE": {"debounce_s": 5.0}})
    with pytest.raises(ConfigError, match=r"pack.yaml:3: faults.CELL_OVER_VOLTAGE: "):
        check_timing(pack)


def test_limits_are_taken_from_the_pack_file(demo):
    assert limit_value(FAULT_BY_ID["CELL_OVER_VOLTAGE_SAFETY"], demo.file) == 4.25
    assert limit_value(FAULT_BY_ID["OVER_CURRENT_CHARGE_OPERATING"], demo.file) == 4.0
    assert limit_value(FAULT_BY_ID["LOW_INSULATION_RECOMMENDED"], demo.file) == 100.0
    assert limit_value(FAULT_BY_ID["DRIVER_LOST"], demo.file) == driver_lost_after_s(demo.file) == 0.5
    assert limit_value(FAULT_BY_ID["MONITOR_LATE"], demo.file) == 0.5
    assert limit_value(FAULT_BY_ID["CURRENT_ON_OPEN_STRING"], demo.file) == 0.15
    slow = changed(demo, measurement={"scan_period_s": 1.0}).file
    assert driver_lost_after_s(slow) == 3.0
    assert "CELL_OVER_VOLTAGE" in FAULT_NAMES


def test_thresholds_that_the_file_does_not_name_are_its_defaults(demo, tmp_path):
    found = default_thresholds(demo)
    assert found["cell_voltage_spread_max_v"] == 0.3 and found["deep_discharge_voltage_v"] == 1.5
    assert found["string_voltage_difference_max_v"] == pytest.approx(4.08)
    assert not {"supply_voltage_min_v", "pressure_max_pa"} & set(found)
    assert default_thresholds(changed(demo))["supply_voltage_min_v"] == 9.0  # no file: nothing is written


def test_a_row_for_an_actuator_needs_its_command_and_its_feedback(demo):
    data = demo.file.model_dump()["device"]
    heaterless = [
        {**entry, "signals": [s for s in entry["signals"] if s["source"] != "heater"]}
        for entry in data["commands"]
    ]
    listed = not_monitored(changed(demo, device={"commands": heaterless}).file)
    assert "HEATER_STUCK_ON" in listed and "PUMP_FAILURE" not in listed
    signals = [entry for entry in data["signals"] if entry["signal"] != "PumpFeedback"]
    listed = not_monitored(changed(demo, device={"signals": signals}).file)
    assert "PUMP_FAILURE" in listed and "FAN_FAILURE" not in listed
    signals = [entry for entry in data["signals"] if entry["signal"] != "DieTemperature"]
    assert "AFE_OVER_TEMPERATURE" in not_monitored(changed(demo, device={"signals": signals}).file)


def test_actuators_on_a_bus_of_their_own_are_watched_by_the_feedback_of_their_gateway(demo):
    """actuator_driver commands them, so the pack's own bus need not."""
    data = demo.file.model_dump()["device"]
    signals = [entry for entry in data["signals"] if entry["to"] != "actuator_feedback"]
    commands = [
        {**entry, "signals": [s for s in entry["signals"] if s["source"] not in ("heater", "pump", "fan")]}
        for entry in data["commands"]
    ]
    device = {"signals": signals, "commands": commands}
    rows = {"HEATER_STUCK_ON", "HEATER_STUCK_ON_HOT", "PUMP_FAILURE", "FAN_FAILURE"}
    assert rows <= set(not_monitored(changed(demo, device=device).file))
    watched = changed(demo, device=device, gateway_inputs=("actuator_feedback",))
    assert not rows & set(not_monitored(watched.file))
    unwatched = {**demo.file.model_dump()["topology"], "actuators": ("pump",)}
    listed = not_monitored(
        changed(demo, device=device, gateway_inputs=("actuator_feedback",), topology=unwatched).file
    )
    assert "HEATER_STUCK_ON" in listed and "PUMP_FAILURE" not in listed


def test_a_threshold_that_is_null_switches_its_rows_off(demo):
    off = changed(demo, protection={"cell_voltage_step_max_v": None, "pressure_max_pa": None}).file
    assert {"CELL_VOLTAGE_RATE", "PRESSURE_ALARM"} <= set(not_monitored(off))


def test_the_time_that_a_watch_needs_is_part_of_the_reaction(demo):
    row = FAULT_BY_ID["CELL_VOLTAGE_RATE"]
    assert reaction(row, demo.file).watch_s == row.detection_s == 2.0
    with pytest.raises(ConfigError, match=r"scans 0\.2 s \+ watch 2 s \+ debounce 1 s"):
        check_timing(changed(demo, faults={"CELL_VOLTAGE_RATE": {"fault_tolerant_time_s": 3.0}}))
