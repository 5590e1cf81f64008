"""`openbms check` on profiles of inverters."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbms_bringup.check import check_file, models
from openbms_core.config_file import ConfigError
from openbms_drivers.devices.inverter_lv.profile import shipped_profiles


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_the_shipped_ones_are_good(name: str) -> None:
    text = check_file(str(shipped_profiles()[name]))
    assert "a good inverter profile" in text and "0x351" in text and "look" not in text


def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    shipped = shipped_profiles()["victron"].read_text(encoding="utf-8")
    path.write_text(shipped.replace("value: soc, byte: 0", "value: sox, byte: 0"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.yaml:\d+: .*sox"):
        check_file(str(path))


def test_what_an_inverter_would_miss_is_pointed_at(tmp_path: Path) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text(
        "schema_version: 1\nname: bare\ndescription: limits alone\nsources: [mine]\n"
        "charge_voltage: {minimum_v: 40.0, maximum_v: 60.0}\ninverter: {lost_after_s: 5.0}\nframes:\n"
        "  - id: 0x351\n    numbers:\n"
        "      - {value: charge_voltage_limit_v, byte: 0, resolution: 0.1}\n"
        "      - {value: charge_current_limit_a, byte: 2, resolution: 0.1}\n"
        "      - {value: discharge_current_limit_a, byte: 4, resolution: 0.1}\n",
        encoding="utf-8",
    )
    text = check_file(str(path))
    assert (
        "no frame tells soc, battery_voltage_v, battery_current_a" in text and "no frame has alarms" in text
    )
    assert "profile" in models()
