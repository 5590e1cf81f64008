"""Damaged files: a DBC or a log is read, or refused in one sentence that names it; nothing else happens."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest
import yaml
from hostile import damaged

from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack
from openbms_drivers.dbc_file import read_dbc
from openbms_drivers.frame import ERROR, EXTENDED, Frame
from openbms_drivers.log.can_log import CanLog
from openbms_drivers.pack_driver import PackDriver

DEVICES = Path(__file__).resolve().parents[1] / "openbms_drivers" / "devices"
LOGS = Path(__file__).resolve().parents[3] / "tests" / "data" / "can"
DBCS = sorted(DEVICES.glob("*/*.dbc"), key=lambda path: path.stat().st_size)[:6]
_HEAD = 6000
"""Of a text log: enough of it."""


@pytest.mark.parametrize("path", DBCS, ids=[path.stem for path in DBCS])
def test_a_damaged_dbc_is_read_or_refused_by_name(path: Path, tmp_path: Path) -> None:
    target, read, refused = tmp_path / "x.dbc", 0, 0
    for data in islice(damaged(path.read_bytes(), random.Random(path.stem)), 25):
        target.write_bytes(data)
        try:
            assert read_dbc(target).database.messages
            read += 1
        except ConfigError as error:
            refused += 1
            assert str(target) in str(error)
            assert "\n" not in str(error)
            assert str(error).rstrip()[-1] in ".)"
    assert read and refused


def test_a_pack_over_a_damaged_dbc_runs_or_is_refused(tmp_path: Path) -> None:
    """What is let through decodes without harm."""
    content = yaml.safe_load((LOGS / "log_pack.yaml").read_text())
    content["device"]["dbc"] = "x.dbc"
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    pack, rng = load_pack(tmp_path / "x.yaml"), random.Random(4)
    whole = (LOGS / "log_pack.dbc").read_bytes()
    ran = refused = 0
    for data in islice(damaged(whole, random.Random(8), most=1), 200):
        (tmp_path / "x.dbc").write_bytes(data)
        try:
            driver = PackDriver(pack)
        except ConfigError as error:
            refused += 1
            assert "x.dbc" in str(error)
            assert "x.yaml" in str(error)
            continue
        ran += 1
        driver.health.opened(0.0)
        driver.start(0.0)
        for number, message in enumerate(driver.decoder.messages * 3):
            kind = EXTENDED if message.is_extended_frame else 0
            driver.receive(
                Frame(message.frame_id, rng.randbytes(min(message.length, 64)), kind, 0.1 * number)
            )
    assert ran > 20 and refused > 20


def test_a_damaged_pack_file_is_loaded_or_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "log_pack.dbc").write_bytes((LOGS / "log_pack.dbc").read_bytes())
    target, loaded, refused = tmp_path / "x.yaml", 0, 0
    whole = (LOGS / "log_pack.yaml").read_bytes()
    for data in islice(damaged(whole, random.Random(3), most=1), 60):
        target.write_bytes(data)
        try:
            PackDriver(load_pack(target))
            loaded += 1
        except ConfigError as error:
            refused += 1
            assert "x.yaml" in str(error)
    assert loaded and refused


def _start(name: str) -> bytes:
    data = (LOGS / name).read_bytes()
    return data if name.endswith((".blf", ".gz", ".mf4")) else data[:_HEAD]


@pytest.mark.parametrize(
    "name",
    ["two_buses.candump.log", "for_people.candump.txt", "drive.asc", "drive.trc", "drive.csv",
     "drive.savvycan.csv", "drive.blf", "drive.candump.log.gz"],
)  # fmt: skip
def test_a_damaged_log_is_read_or_refused_by_name(name: str, tmp_path: Path) -> None:
    target, read, refused = tmp_path / name, 0, 0
    for data in islice(damaged(_start(name), random.Random(name)), 60):
        target.write_bytes(data)
        try:
            log = CanLog(target)
            frames = list(log)
        except ConfigError as error:
            refused += 1
            assert str(target) in str(error)
            assert "\n" not in str(error)
            continue
        read += 1
        assert log.began is None or log.began[:2] in ("19", "20", "21")
        times = [frame.monotonic_s for frame in frames]
        assert times == sorted(times)
        for frame in frames:
            assert 0 <= frame.identifier < 1 << (29 if frame.flags & EXTENDED else 11) or frame.flags & ERROR
            assert len(frame.data) <= 64
    assert read and refused
