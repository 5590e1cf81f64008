"""`openbms check` on the files of gateways."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbms_bringup.check import check_file
from openbms_core.config_file import ConfigError
from openbms_core.resources import find_resource

DEVICES = "package://openbms_drivers/devices"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vehicle_vcu/gateway.yaml", "of a vehicle: it takes ignition, wants_drive"),
        ("elcon/actuators.yaml", "of actuators: it takes charger_voltage_v"),
        ("actuators/actuators.yaml", "sends Act_Command every 100 ms"),
    ],
)
def test_the_shipped_ones_are_good(name: str, said: str) -> None:
    text = check_file(str(find_resource(f"{DEVICES}/{name}", Path("x"))))
    assert "a good gateway file" in text and said in text


def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path) -> None:
    shipped = find_resource(f"{DEVICES}/vehicle_vcu/gateway.yaml", Path("x")).read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(shipped.replace("signal: Crash,", "signal: Crsh,"))
    with pytest.raises(ConfigError, match=r"mine\.yaml:\d+: .*Did you mean 'Crash'\?"):
        check_file(str(path))
