"""`openbms site scan` against a real Modbus server, and `openbms check` of a site file."""

import json
from pathlib import Path

import pytest
from sunspec_site import Bank, House, SunspecServer
from typer.testing import CliRunner

from openbms_bringup.check import check_file
from openbms_bringup.cli.site import site
from openbms_core.config_file import ConfigError


def scan(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(site, ["scan", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def house() -> House:
    with House() as running:
        yield running


def test_models_and_points_are_shown_and_the_proposal_passes_the_check(house: House, tmp_path: Path) -> None:
    code, out, _ = scan(f"127.0.0.1:{house.port}", "--unit", "1", "--unit", "200", "--json")
    told = json.loads(out)
    assert code == 0 and [unit["unit"] for unit in told["units"]] == [1, 200]
    models = {model["model"]: model for model in told["units"][0]["models"]}
    assert models[124]["points"]["ChaState"] == 55.5
    assert models[124]["address"] == house.units[1].model_at[124]
    assert "a power can be given to it by model 124" in told["units"][0]["notes"]
    path = tmp_path / "site.yaml"
    path.write_text(told["proposal"], encoding="utf-8")
    assert "controlled (storage)" in check_file(str(path)) and "meter grid" in check_file(str(path))
    assert house.writes == []


def test_the_table_for_people(house: House) -> None:
    code, out, _ = scan(f"127.0.0.1:{house.port}")
    assert code == 0
    for text in (
        "unit 1: Acme Storage 5",
        "unit 200: Acme Meter 63",
        "124 Storage",
        "role: grid",
        "No SunSpec at",
    ):
        assert text in out


def test_a_server_that_does_not_look_at_the_unit_id_is_one_device() -> None:
    with SunspecServer({0: House().units[1]}) as server:
        code, out, _ = scan(f"127.0.0.1:{server.port}", "--json")
    told = json.loads(out)
    assert code == 0 and [unit["unit"] for unit in told["units"]] == [1]
    assert "unit 2 says the same: taken for the same device" in told["units"][0]["notes"]
    assert "pv" not in told["proposal"]


def test_a_server_without_sunspec(tmp_path: Path) -> None:
    bank = Bank()
    bank.words = [1, 2, 3, 4]
    with SunspecServer({1: bank}) as server:
        code, out, _ = scan(f"127.0.0.1:{server.port}", "--unit", "1")
    assert code == 1 and "no 'SunS' at 40000, 50000, 0" in out.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["127.0.0.1:1"], "127.0.0.1:1: no connection"),
        (["not a host"], "'not a host' is no address"),
        (["localhost:99999"], "the port must be 1 to 65535"),
        (["localhost", "--unit", "256"], "a unit id is 0 to 255"),
        (["localhost", "--at-once", "1"], "--at-once is 1"),
        (["localhost", "--timeout", "0"], "--timeout is 0"),
        (["localhost", "--base", "70000"], "--base is 70000"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: list[str], said: str) -> None:
    code, _, error = scan(*arguments)
    assert code == 2 and said in error and error.count("\n") == 1


def test_check_says_what_is_wrong_with_a_site_file(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("schema_version: 1\nname: x\nmeters: [{role: grid, hots: a}]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"site\.yaml:3: meters\[0\]\.hots: unknown key"):
        check_file(str(path))
