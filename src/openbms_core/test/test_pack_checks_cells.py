"""Cells may be left to a device only where it shows none, has its own management and states its limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.resources import find_config


@pytest.mark.parametrize(
    ("pack", "old", "new", "sentence"),
    [
        (
            "pylontech_lv_15s",
            "  current_deadband_a: 1.0\n",
            "  current_deadband_a: 1.0\n  cells_left_to_device: true\n",
            "maps reported_cell_voltage_minimum_v: it is judged here",
        ),
        (
            "pylontech_lv_v1_2",
            "authority: device          # the battery switches …\n  takes_requests: false ",
            "authority: none  # ",
            "only a battery with a management of its own",
        ),
        (
            "pylontech_lv_v1_2",
            "    - {to: reported_discharge_current_limit_a",
            "    # - {to: reported_discharge_current_limit_a",
            "maps no reported_discharge_current_limit_a",
        ),
    ],
)
def test_it_is_refused_elsewhere(tmp_path: Path, pack: str, old: str, new: str, sentence: str) -> None:
    text = find_config("packs", pack).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "pack.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence) as error:
        check_pack(load_pack(path))
    assert f"{path}:" in str(error.value) and "limits.cells_left_to_device" in str(error.value)
