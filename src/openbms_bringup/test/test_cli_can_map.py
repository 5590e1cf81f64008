"""`openbms can map` and `openbms can check` on synthetic DBCs and logs, and on bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from openbms_bringup.cli.can import can

DATA = Path(__file__).parents[2] / "openbms_drivers" / "test" / "mapping" / "data"
runner = CliRunner()


def _can(*args: object) -> Any:
    return runner.invoke(can, [str(arg) for arg in args])


def _frames(count: int, *, sign: float = 1.0, soc: float = 55.0, first_id: int = 544) -> str:
    """A candump of the pack of simple_mux_big_endian.dbc: every 100 ms, current in steps, voltage behind 50
    mOhm."""
    lines = []
    for step in range(count):
        at_s = 0.1 * step
        current = (-120.0, 0.0, -40.0, 60.0, -80.0, 20.0)[int(at_s / 7.0) % 6]
        cell = round((3.7 + current * 0.05 / 24) * 1e4)
        raw = round((sign * current + 1600.0) / 0.05)
        pack = round((24 * 3.7 + current * 0.05) * 10)
        data = {
            512: bytes((step % 8,)) + cell.to_bytes(2, "big") * 3 + b"\0",
            528: bytes((step % 2, 25, 25, 25, 25, 25, 25, 0)),
            first_id: raw.to_bytes(2, "big") + pack.to_bytes(2, "big") + round(soc * 100).to_bytes(2, "big")
            + bytes((step % 15, 0)),
            560: bytes((0x10, 0, 0x10, 0)) + (37100).to_bytes(2, "big") + (36900).to_bytes(2, "big"),
            576: bytes((0b010110 | 1, 124, 0, 0, 0, 0, 0, 0)),
        }  # fmt: skip
        for number, (identifier, content) in enumerate(data.items()):
            lines.append(f"({1e9 + at_s + 1e-4 * number:.6f}) can0 {identifier:03X}#{content.hex().upper()}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A log of a minute."""
    path = tmp_path / "drive.log"
    path.write_text(_frames(600))
    return path


def _mapped(tmp_path: Path, *more: object, dbc: str = "simple_mux_big_endian") -> Path:
    path = tmp_path / "pack.yaml"
    result = _can("map", "--dbc", DATA / f"{dbc}.dbc", "-o", path, "--cell", "lg_hg2", *more)
    assert result.exit_code == 0, result.output
    return path


def _finished(path: Path, text: str | None = None) -> Path:
    """Fill in what a person would."""
    text = path.read_text() if text is None else text
    for name, value in (
        ("charge_current_max_a", "{operating: 100.0, recommended: 120.0, safety: 150.0}"),
        ("discharge_current_max_a", "{operating: 200.0, recommended: 250.0, safety: 300.0}"),
    ):
        text = text.replace(f"# {name}: {{operating: …, recommended: …, safety: …}}", f"{name}: {value}")
    text = text.replace("# current_deadband_a: …", "current_deadband_a: 1.0").replace(
        "# limp_home: {charge_current_a: …, discharge_current_a: …, shutdown_after_s: …}",
        "limp_home: {discharge_current_a: 30.0}",
    )
    text = text.replace("# TODO break_current_a:", "break_current_a: 20.0   #")
    path.write_text(text)
    return path


def test_map_then_check_with_the_log(tmp_path: Path, drive: Path) -> None:
    """From a DBC and a log to a file that loads and whose check says what the log proves."""
    path = _finished(_mapped(tmp_path, "--log", drive))
    result = _can("check", path, "--log", drive, "--json")
    told = json.loads(result.output)
    assert told["loads"] is True, told
    assert told["log"]["sign_of_current"] == 1
    verdicts = {(row["about"], row["verdict"]) for row in told["findings"]}
    assert {
        ("sign of the current", "covered"),
        ("cell_voltage_v", "covered"),
        ("string_voltage_v", "covered"),
    } <= verdicts
    doubtful = [row for row in told["findings"] if row["verdict"] in ("missing", "doubtful")]
    assert doubtful == [] and result.exit_code == 0


def test_draft_is_checked_and_its_gaps_are_named(tmp_path: Path, drive: Path) -> None:
    """A file straight from map is judged all the same; what the loader lacks stands among the findings."""
    result = _can("check", _mapped(tmp_path), "--log", drive, "--json")
    told = json.loads(result.output)
    assert result.exit_code == 1 and told["loads"] is False and told["verdict"] == "missing"
    missing = {row["about"] for row in told["findings"] if row["verdict"] == "missing"}
    assert {"limits.charge_current_max_a", "limits.limp_home", "contactors.break_current_a"} <= missing
    assert told["log"]["decoded"] > 2900


@pytest.mark.parametrize(
    ("change", "about", "says"),
    [
        (
            ("signal: PackCurrent,", "signal: PackCurrent, scale: -1.0,"),
            "sign of the current",
            "positive discharges",
        ),
        (
            ("signal: SOC, scale: 0.01,", "signal: SOC,"),
            "reported_soc",
            "values outside of minimum and maximum",
        ),
        (("signal: PackVoltage,", "signal: PackVoltage, scale: 0.1,"), "string_voltage_v", "by about 10^1"),
        (
            ("    string_current_a: 0.33", "    string_current_a: 0.05"),
            "string_current_a",
            "stale after 0.05 s, but",
        ),
        (("signal: AliveCounter, modulo: 15", "signal: AliveCounter, modulo: 8"), "BMS_Pack", "jumps"),
        (
            ("cells_in_series: 24", "cells_in_series: 28"),
            "cell_voltage_v",
            "4 of the 28 cells of the topology are not mapped",
        ),
    ],
)
def test_what_is_wrong_is_doubted(
    tmp_path: Path, drive: Path, change: tuple[str, str], about: str, says: str
) -> None:
    """One mistake each: the sentence names it."""
    path = _finished(_mapped(tmp_path, "--log", drive))
    text = path.read_text()
    assert change[0] in text, text
    path.write_text(text.replace(*change))
    result = _can("check", path, "--log", drive, "--json")
    found = [
        row["text"]
        for row in json.loads(result.output)["findings"]
        if row["about"] == about and row["verdict"] != "covered"
    ]
    assert any(says in text for text in found), result.output
    assert result.exit_code == 1


def test_wrong_bus_is_one_sentence(tmp_path: Path) -> None:
    """No identifier of the DBC in the log: both commands say it and end with 2."""
    log = tmp_path / "other.log"
    log.write_text("".join(f"({1e9 + 0.1 * n:.6f}) can0 7A{n % 4}#0011\n" for n in range(50)))
    for args in (["map", "--dbc", DATA / "j1939.dbc"], ["check", _mapped(tmp_path, dbc="j1939")]):
        result = _can(*args, "--log", log)
        assert result.exit_code == 2
        assert "none of its 50 frames on bus 'can0' (4 identifiers, such as 0x7A0" in result.stderr
        assert "is a message of j1939.dbc" in result.stderr and "wrong bus" in result.stderr


def test_other_source_address_is_recognised(tmp_path: Path) -> None:
    """The parameter group is right, the source is not: the cure is nearer than 'wrong bus'."""
    log = tmp_path / "source.log"
    log.write_text("".join(f"({1e9 + 0.1 * n:.6f}) can0 18FF50A1#0011223344556677\n" for n in range(50)))
    result = _can("map", "--dbc", DATA / "j1939.dbc", "--log", log)
    assert result.exit_code == 2
    assert "same parameter group from source address 0xf3, the log has 0xa1" in result.stderr


def test_truncated_log_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """A log that breaks off is said to."""
    log = tmp_path / "cut.log"
    log.write_text(_frames(300)[:-20])
    path = _mapped(tmp_path)
    result = _can("check", path, "--log", log, "--json")
    told = json.loads(result.output)
    assert told["log"]["whole"] is False
    assert any("the log ends early: the last line" in note for note in told["log"]["notes"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not a dbc at all\n", "bad.dbc:1: is not a DBC that can be read from here on: 'not a dbc at all'"),
        ("", "bad.dbc: is not a DBC that can be read"),
        ("VERSION \"\"\n\nBU_: X\n\nBO_ 1 A: 8 X\n SG_ B : 0|16@1+ (1,0) [0|1 \"V\" X\n", "bad.dbc:6: is not "
                                                                                          "a DBC that can be "
                                                                                          "read from here "
                                                                                          "on"),
    ],
)  # fmt: skip
def test_unreadable_dbc(tmp_path: Path, text: str, says: str) -> None:
    """File, line and the line's text."""
    path = tmp_path / "bad.dbc"
    path.write_text(text)
    result = _can("map", "--dbc", path)
    assert result.exit_code == 2 and says in result.stderr, result.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("signal: PackVoltage,", "signal: PackVoltag,"), r"message BMS_Pack of simple_mux_big_endian.dbc "
                                                          r"has no signal 'PackVoltag'. Did you mean "
                                                          r"'PackVoltage'?"),
        (("message: BMS_Limits, signal: CCL", "message: BMS_Limit, signal: CCL"), "has no message "
                                                                                  "'BMS_Limit'. Did you mean "
                                                                                  "'BMS_Limits'?"),
        (("repeat: {c: [0, 23]}", "repeat: {c: [0, 25]}"), "fills cell_voltage_v[25], but this pack has 24 "
                                                           "of them"),
        (("signal: PackVoltage,", "signal: PackCurrent,"), "mapped"),
        (("schema_version: 1", "schema_version: 7"), "schema_version: value 7 is not right"),
    ],
)  # fmt: skip
def test_bad_pack_file(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    """Unknown names and wrong sizes: file, line and cure, exit code 2 (or a finding where it still loads)."""
    path = _finished(_mapped(tmp_path))
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    result = _can("check", path)
    if result.exit_code == 2:
        assert says in result.stderr and f"{path}:" in result.stderr, result.stderr
    else:
        assert says in result.output


def test_index_twice_names_both(tmp_path: Path) -> None:
    """A cell that two signals fill."""
    path = _finished(_mapped(tmp_path))
    extra = "    - {to: cell_voltage_v, message: BMS_Limits, signal: MaxCellVoltage, first_index: 3}\n"
    path.write_text(path.read_text() + extra)
    result = _can("check", path)
    assert result.exit_code == 2
    assert "cell_voltage_v[3] is mapped a second time" in result.stderr and f"{path}:" in result.stderr


def test_overlapping_signals_are_named(tmp_path: Path) -> None:
    """A pack file that maps two signals on the same bits: both, with their lines in the DBC."""
    text = (
        (DATA / "simple_mux_big_endian.dbc")
        .read_text()
        .replace("PackVoltage : 23|16@0+", "PackVoltage : 15|16@0+")
    )
    dbc = tmp_path / "overlap.dbc"
    dbc.write_text(text)
    path = _mapped(tmp_path)
    path.write_text(path.read_text().replace("dbc: ", f'dbc: "{dbc}" # '))
    result = _can("check", path)
    assert result.exit_code == 2
    assert "BMS_Pack.PackVoltage (overlap.dbc:" in result.stderr and "share bit" in result.stderr


def test_file_is_not_overwritten(tmp_path: Path) -> None:
    """An edited pack file stays, unless it is meant to go."""
    path = _mapped(tmp_path)
    again = ["map", "--dbc", DATA / "can_fd.dbc", "-o", path]
    result = _can(*again)
    assert result.exit_code == 2 and "is there already" in result.stderr
    assert _can(*again, "--force").exit_code == 0
    assert "BMC_CellVolt" in path.read_text()


def test_printed_where_no_file_is_named() -> None:
    """Without -o the file is stdout, and what is said of it stderr."""
    result = _can("map", "--dbc", DATA / "plain_german.dbc", "--name", "Mein Pack")
    assert result.exit_code == 0
    assert 'name: "mein_pack"' in result.stdout and "Unsure" not in result.stdout
    assert "The loader demands" in result.stderr


def test_no_battery_in_the_dbc(tmp_path: Path) -> None:
    """Nothing is invented."""
    path = tmp_path / "none.yaml"
    result = _can("map", "--dbc", DATA / "no_battery.dbc", "-o", path)
    assert result.exit_code == 2 and "looks like a value of a battery" in result.stderr
    assert not path.exists()


def test_shipped_pack_without_a_log() -> None:
    """A shipped pack is covered; what only a log can tell is said to be open."""
    result = _can("check", "orion2_48s20p", "--json")
    told = json.loads(result.output)
    assert told["loads"] and told["log"] is None
    assert not [row for row in told["findings"] if row["verdict"] == "missing"]
    assert any(row["about"] == "log" for row in told["findings"])
