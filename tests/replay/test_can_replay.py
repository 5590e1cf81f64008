"""`openbms can replay`: synthetic logs in every format, and real ones of Nissan Leaf where they are.

The real logs and what was decoded of them (by the community's DBC, with another program) are not in the
project: those tests run where ``OPENBMS_REFERENCE_DATA`` names a folder with ``can/``, by default
``shared/data`` beside the checkout.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import can
import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from openbms_bringup.cli.can import can as commands
from openbms_core.pack import load_pack
from openbms_core.types import PackMeasurement
from openbms_drivers.log.can_log import CanLog
from openbms_drivers.log_replay import LogReplay
from openbms_drivers.pack_driver import PackDriver
from openbms_sim.can_hub import CanHub

DATA = Path(__file__).resolve().parents[1] / "data" / "can"
PACK = str(DATA / "log_pack.yaml")
_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = Path(os.environ.get("OPENBMS_REFERENCE_DATA", _BESIDE)) / "can"
real_logs = pytest.mark.skipif(not REAL.is_dir(), reason="the real logs are not here")


def run(*arguments: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(commands, ["replay", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if "--json" in arguments and not code else result.output


def without_name(told: dict[str, Any]) -> dict[str, Any]:
    other = ("log", "format", "channel", "channels", "began")
    return {key: value for key, value in told.items() if key not in other}


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return run(DATA / "drive.candump.log.gz", "--pack", PACK, "--json")


@pytest.mark.parametrize(
    "name", ["drive.asc", "drive.blf", "drive.trc", "drive.csv", "drive.savvycan.csv", "drive.mf4"]
)
def test_the_same_traffic_gives_the_same_verdicts_out_of_every_format(
    name: str, told: dict[str, Any]
) -> None:
    again = run(DATA / name, "--pack", PACK, "--json")
    assert without_name(again) == without_name(told)
    assert len(told["digest_of_scans"]) == len(told["digest_of_verdicts"]) == 64


def test_what_the_script_put_into_the_log_is_found(told: dict[str, Any]) -> None:
    """Each number here follows from make_logs.py, not from a run."""
    assert told["duration_s"] == pytest.approx(8.99, abs=0.002)
    assert told["frames"] == 900 + 2 * (90 - 8) + 90 + 3 * 9
    assert told["refused"] == 3, "wrong checksums"
    assert told["decoded"] == 900 - 3 + 2 * (90 - 8) + 9
    assert (told["not_mapped"], told["foreign"]) == (9, 90 + 9)
    assert told["foreign_ids"] == {"0x7A0": 90, "0x18FF50E5": 9}
    assert told["bad_values"] == 1
    messages = {row["name"]: row for row in told["messages"]}
    assert (messages["Current"]["count"], messages["Current"]["refused"]) == (900, 3)
    assert messages["Cells"]["longest_gap_s"] == pytest.approx(0.9, abs=0.001)
    assert messages["Cells"]["longest_gap_at_s"] == pytest.approx(4.9, abs=0.001)
    signals = {row["name"]: row for row in told["signals"]}
    assert signals["string_current_a"]["rate_hz"] == pytest.approx(100.0, abs=0.5)
    assert signals["string_current_a"]["longest_gap_s"] == pytest.approx(0.04)
    assert (signals["string_current_a"]["first"], signals["string_current_a"]["last"]) == (-5.0, -0.05)
    assert signals["string_current_a"]["maximum"] == 4.95
    assert signals["temperature_degc[1]"]["not_available"] == 1
    assert (signals["cell_voltage_v[2]"]["first"], signals["cell_voltage_v[2]"]["last"]) == (3.72, 4.3)
    assert told["never_received"] == []
    faults = {event["fault"]: event for event in told["verdicts"]["events"] if event["what"] == "fault"}
    over = faults["CELL_OVER_VOLTAGE_SAFETY"]
    assert 7.0 < over["time_s"] < 8.0
    assert (over["value"], over["index"], over["unit"]) == (4.3, 2, "V")


def test_verdicts_change_with_one_bit(tmp_path: Path, told: dict[str, Any]) -> None:
    lines = gzip.decompress((DATA / "drive.candump.log.gz").read_bytes()).decode().splitlines()
    at = next(number for number, line in enumerate(lines) if number > 600 and " 101#01" in line)
    digit = int(lines[at][-9], 16) ^ 1
    lines[at] = f"{lines[at][:-9]}{digit:X}{lines[at][-8:]}"
    (tmp_path / "x.log").write_text("\n".join(lines) + "\n")
    other = run(tmp_path / "x.log", "--pack", PACK, "--json")
    assert other["digest_of_scans"] != told["digest_of_scans"]


def test_the_table(tmp_path: Path, told: dict[str, Any]) -> None:
    path = tmp_path / "out.parquet"
    output = run(DATA / "drive.blf", "--pack", PACK, "-o", path)
    assert told["digest_of_scans"] in output
    table = pq.read_table(path).to_pydict()
    assert len(table["time_s"]) == told["scans"]
    assert table["cell_voltage_v_2"][-1] == pytest.approx(4.3)
    gone = [
        v is None for t, v in zip(table["closed_s"], table["cell_voltage_v_0"], strict=True) if 5.5 < t < 5.8
    ]
    assert gone
    assert all(gone), "older than 0.5 s: no value, not the last one"
    assert "CELL_OVER_VOLTAGE_SAFETY" in table["faults"][-1]
    charge = np.array(table["string_charge_ah_0"], float)
    current, time_s = np.array(table["string_current_a_0"], float), np.array(table["closed_s"])
    assert np.nansum(charge) == pytest.approx(np.trapezoid(current, time_s) / 3600, rel=0.2)


def test_onto_a_bus_and_back(tmp_path: Path) -> None:
    """Every frame arrives, in order, at ten times the pace of the log."""
    hub = CanHub(port=0)
    hub.start()
    got: list[can.Message] = []
    expected = list(CanLog(DATA / "for_people.candump.txt"))
    bus = can.Bus(interface="socketcand", channel="can0", host="127.0.0.1", port=hub.port, tcp_tune=True)

    def listen() -> None:
        while len(got) < len(expected) and (message := bus.recv(15.0)) is not None:
            got.append(message)

    listener = threading.Thread(target=listen)
    try:
        assert hub.wait_for_clients("can0", 1, 15.0)
        listener.start()
        told = run(
            DATA / "for_people.candump.txt", "--interface", "socketcand", "--port", str(hub.port),
            "--speed", "10", "--json",
        )  # fmt: skip
        listener.join(20.0)
    finally:
        bus.shutdown()
        hub.stop()
    assert [(m.arbitration_id, bytes(m.data), m.is_extended_id) for m in got] == [
        (frame.identifier, frame.data, bool(frame.flags & 1)) for frame in expected
    ]
    assert told["frames_sent"] == len(expected)
    assert told["took_s"] > 0.099 * told["log_s"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.log", "--pack", PACK], "gone.log: no such file"),
        ([str(DATA / "drive.blf")], "--pack is missing"),
        ([str(DATA / "drive.blf"), "--pack", "gone.yaml"], "gone.yaml"),
        ([str(DATA / "drive.blf"), "--pack", PACK, "--speed", "0"], "--speed is '0': give 1, 10"),
        ([str(DATA / "drive.blf"), "--pack", PACK, "-o", "x.csv"], "give a .parquet file"),
        ([str(DATA / "drive.blf"), "--pack", PACK, "--log-channel", "7"], "has no bus '7'; it has '1'"),
        (
            [str(DATA / "drive.blf"), "--interface", "socketcand", "--port", "1"],
            "No socketcand server answers",
        ),
        ([str(DATA / "drive.blf"), "--interface", "socketcna"], "Did you mean 'socketcan'?"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(commands, ["replay", *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_log_of_something_else_says_so() -> None:
    told = run(DATA / "drive.blf", "--pack", "demo_96s_nmc", "--json")
    assert "mapped signals never came" in told["notes"][1]
    assert told["refused"] > 100 * told["decoded"], (
        "the identifiers of two packs meet, their checksums do not"
    )
    assert "frames of the pack were refused (length, checksum or counter)" in told["notes"][0]


def test_a_log_without_any_frame_of_the_pack_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("(1.0) can0 777#00\n(21.0) can0 778#00\n")
    result = CliRunner().invoke(commands, ["replay", str(tmp_path / "x.log"), "--pack", PACK, "--json"])
    assert result.exit_code == 1
    assert result.stderr == (
        f"openbms: {tmp_path / 'x.log'}: no frame of the log is one that the pack file maps (0x100, 0x101, "
        "0x18FEF104), nor has the DBC any other of them (the log has 0x777, 0x778): wrong pack file, wrong "
        "bus of the vehicle, or a log of something else.\n"
    )
    told = json.loads(result.stdout)
    assert (told["decoded"], told["foreign"]) == (0, 2)
    assert "wrong pack file, wrong bus of the vehicle" in told["notes"][0]
    assert "BUS_LOST" in told["verdicts"]["faults"]


# ---- real cars

CARS = {"leaf62_eplus2": "nissan_leaf_62kwh", "leaf62_startup": "nissan_leaf_62kwh",
        "env200_40_charge": "nissan_leaf_40kwh"}  # fmt: skip


def replayed(log: str, pack: str) -> tuple[LogReplay, list[PackMeasurement]]:
    scans: list[PackMeasurement] = []
    run = LogReplay(PackDriver(load_pack(pack), listen_only=True), lambda scan, _: scans.append(scan))
    run.run(CanLog(REAL / f"{log}.candump.log.gz"))
    return run, scans


@real_logs
@pytest.mark.parametrize("log", CARS)
def test_a_real_log_against_what_another_program_decoded(log: str) -> None:
    """Current and voltage of every frame, by the truth's own times; the sign is that of the house."""
    driver = PackDriver(load_pack(CARS[log]), listen_only=True)
    table = driver.decoder.table
    slots = [table.slot("string_current_a", 0), table.slot("string_voltage_v", 0)]
    plan = next(plan for plan in driver.decoder.plans if plan.message.frame_id == 0x1DB)
    seen: list[tuple[float, float, float]] = []
    began_s: float | None = None
    replay = LogReplay(driver)
    for frame in CanLog(REAL / f"{log}.candump.log.gz"):
        replay.feed(frame)
        began_s = frame.monotonic_s if began_s is None else began_s
        if frame.key == 0x1DB:
            good = [table.good_at[slot] == frame.monotonic_s for slot in slots]
            values = [table.values[slot] if ok else np.nan for slot, ok in zip(slots, good, strict=True)]
            seen.append((frame.monotonic_s, *values))
    truth = pq.read_table(REAL / f"{log}.decoded.parquet").to_pydict()
    assert len(seen) == len(truth["time_s"])
    mine = np.array(seen)
    current = np.array(truth["current_a"], float)
    voltage = np.array(truth["pack_voltage_v"], float)
    both = np.isfinite(mine[:, 2]) & np.isfinite(voltage)
    assert both.sum() > 0.95 * np.isfinite(voltage).sum()
    assert (mine[both, 2] == voltage[both]).all()
    both = np.isfinite(mine[:, 1]) & np.isfinite(current)
    assert both.sum() > 0.95 * np.isfinite(current).sum()
    assert (mine[both, 1] == current[both]).all()
    assert replay.refused + replay.decoded == plan.received + sum(
        other.received
        for other in driver.decoder.plans
        if other is not plan and other.message.frame_id < 0x800
    )


@real_logs
@pytest.mark.parametrize("log", ["leaf62_eplus2", "env200_40_charge"])
def test_cells_that_another_tool_asked_for_are_read_out_of_the_log(log: str) -> None:
    run, scans = replayed(log, CARS[log])
    truth = pq.read_table(REAL / f"{log}.cells.parquet").to_pydict()
    columns = sorted(name for name in truth if name.startswith("c") and name.endswith("_v"))
    assert len(columns) == 96
    rounds = [[truth[name][row] for name in columns] for row in range(len(truth["time_s"]))]
    found = [scan.cell_voltages_v for scan in scans if np.isfinite(scan.cell_voltages_v).all()]
    assert found
    for cells in rounds:
        assert any(np.allclose(cells, mine, atol=1e-6) for mine in found)
    assert run.answers >= len(rounds)


@real_logs
def test_two_runs_over_a_real_log_are_the_same(tmp_path: Path) -> None:
    one, _ = replayed("leaf62_startup", "nissan_leaf_62kwh")
    shutil.copy(REAL / "leaf62_startup.candump.log.gz", tmp_path / "other_name.bin")
    again = LogReplay(PackDriver(load_pack("nissan_leaf_62kwh"), listen_only=True))
    again.run(CanLog(tmp_path / "other_name.bin"))
    assert again.digest.text() == one.digest.text()
    assert again.summary() == one.summary()
