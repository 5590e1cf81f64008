"""The pack file: shipped ones load, wrong ones are refused with a sentence that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from openbms_core.config_file import ConfigError, load_config
from openbms_core.pack import PackFile, SignalMap, load_pack
from openbms_core.resources import config_folder, find_config, find_resource

TRIPLE = {"operating": 1.0, "recommended": 2.0, "safety": 3.0}
FALLING = {"operating": 3.0, "recommended": 2.0, "safety": 1.0}


def small_pack() -> dict[str, Any]:
    """Give a pack of four cells that is right."""
    return {
        "schema_version": 1,
        "name": "small",
        "serial": "S1",
        "cell": "lg_hg2",
        "topology": {
            "cells_in_series": 4,
            "modules": [{"serial": "A", "cells": 3}, {"cells": 1}],
            "temperature_sensors": [
                {"name": "cell_{i}", "location": "cell", "count": 2, "cells_each": 2},
                {"name": "ambient", "location": "ambient"},
            ],
        },
        "limits": {
            "cell_voltage_max_v": {"operating": 4.1, "recommended": 4.2, "safety": 4.25},
            "cell_voltage_min_v": {"operating": 3.0, "recommended": 2.8, "safety": 2.5},
            "charge_current_max_a": TRIPLE,
            "discharge_current_max_a": TRIPLE,
            "charge_temperature_max_degc": TRIPLE,
            "charge_temperature_min_degc": FALLING,
            "discharge_temperature_max_degc": TRIPLE,
            "discharge_temperature_min_degc": FALLING,
            "current_deadband_a": 0.1,
            "limp_home": {"discharge_current_a": 1.0},
        },
        "contactors": {"authority": "none", "break_current_a": 1.0, "opening_deadline_s": 3.0},
        "measurement": {"max_age_s": {"cell_voltage_v": 0.5, "string_current_a": 0.1}},
        "device": {
            "type": "generic",
            "dbc": "small.dbc",
            "signals": [
                {"to": "cell_voltage_v", "message": "Cells", "signal": "Cell{c}", "repeat": {"c": [0, 3]}},
                {"to": "string_current_a", "message": "Current", "signal": "Current", "scale": -1.0},
            ],
        },
    }


def sent(
    message: str = "Out", signal: str = "P", repeat: dict[str, Any] | None = None, own: Any = None
) -> dict[str, Any]:
    """Give a command message."""
    signals = [{"signal": signal, "source": "heater", "repeat": own or {}}]
    return {"message": message, "period_s": 0.1, "repeat": repeat or {}, "signals": signals}


def load(tmp_path: Path, pack: dict[str, Any]) -> PackFile:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(pack, sort_keys=False), encoding="utf-8")
    return load_config(path, PackFile)


def change(pack: dict[str, Any], keys: str, value: Any) -> dict[str, Any]:
    here: Any = pack
    *path, last = [int(key) if key.isdigit() else key for key in keys.split(".")]
    for key in path:
        here = here[key]
    here[last] = value
    return pack


def test_small_pack_loads_with_derived_facts(tmp_path: Path) -> None:
    pack = load(tmp_path, small_pack())
    assert pack.topology.cell_count == 4
    assert pack.topology.sensors == [
        ("cell_0", "cell", range(2)),
        ("cell_1", "cell", range(2, 4)),
        ("ambient", "ambient", range(0)),
    ]
    assert pack.sizes()["cell_voltage_v"] == 4
    assert pack.mapped("string_current_a") and not pack.mapped("insulation_resistance_ohm")
    assert pack.max_age_s(pack.device.signals[0]) == 0.5


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        ("limits.cell_voltage_max_v.safety", 4.15, "operating <= recommended <= safety"),
        ("limits.cell_voltage_min_v.safety", 2.9, "operating >= recommended >= safety"),
        ("limits.cell_voltage_min_v", {"operating": 4.5, "recommended": 2.0, "safety": 1.0}, "must be below"),
        ("topology.modules", [{"cells": 3}], "the modules hold 3 cells"),
        ("topology.temperature_sensors.0.cells_each", 3, "reach cell 5, the last cell is 3"),
        ("topology.temperature_sensors.0.name", "cell", "needs '{i}' in its name"),
        ("device.signals.0.repeat", {"c": [0, 4]}, "fills cell_voltage_v[4], but this pack has 4"),
        ("device.signals.0.repeat", {"c": [3, 0]}, "last value 0 is below the first 3"),
        ("device.signals.0.repeat", {"k": [0, 3]}, "'c', which repeat does not define"),
        ("device.signals.1.to", "string_voltage_v", "add it to measurement.max_age_s"),
        ("device.signals.1.to", "current", "Input should be"),
        ("device.signals", [], "at least 1 item"),
        ("contactors.authority", "openbms", "no device.commands entry sends contactor_positive"),
        ("contactors.authority", "me", "'openbms', 'device' or 'none'"),
        ("contactors.takes_requests", False, "is for authority 'device', but authority is 'none'"),
        ("device.commands", [sent(message="Out{m}")], "the name 'Out{m}' holds 'm', which repeat does not"),
        ("device.commands", [sent(signal="P{x}")], "the name 'P{x}' holds 'x', which repeat does not"),
        ("device.commands", [sent(repeat={"m": [3, 1]})], "last value 1 is below the first 3"),
        ("device.commands", [sent(own={"m": [3, 1]})], "last value 1 is below the first 3"),
        ("device.commands", [sent(repeat={"m": [0, 1]}, own={"m": [0, 1]})], "both define it"),
        ("usable_soc", {"min": 0.9, "max": 0.2}, "min must be below max"),
        ("measurement.scan_period_s", 2.0, "less than or equal to 1"),
        ("schema_version", 2, "Input should be 1"),
    ],
)
def test_wrong_pack_is_refused(tmp_path: Path, keys: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, change(small_pack(), keys, value))
    assert expected.lower() in str(caught.value).lower()
    assert "small.yaml:" in str(caught.value)


def test_repeat_runs_the_last_key_fastest() -> None:
    entry = SignalMap(
        to="cell_voltage_v",
        message="M{m}",
        signal="C{c:02d}",
        repeat={"m": (0, 1), "c": (1, 2)},
        first_index=4,
    )
    assert [row[:3] for row in entry.expanded()] == [
        (4, "M0", "C01"),
        (5, "M0", "C02"),
        (6, "M1", "C01"),
        (7, "M1", "C02"),
    ]


@pytest.mark.parametrize(
    "path", sorted((config_folder() / "packs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_pack_loads(path: Path) -> None:
    pack = load_pack(path)
    assert len(pack.config_hash) == 64
    assert find_resource(pack.file.device.dbc, pack.path).is_file()


def test_hash_depends_on_content_not_on_layout(tmp_path: Path) -> None:
    shipped = find_config("packs", "demo_96s_nmc")
    original = load_pack(shipped)
    copy = tmp_path / "copy.yaml"
    copy.write_text("# another layout\n" + shipped.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_pack(copy).config_hash == original.config_hash
    copy.write_text(
        shipped.read_text(encoding="utf-8").replace(original.file.serial, "OTHER"), encoding="utf-8"
    )
    assert load_pack(copy).config_hash != original.config_hash


def test_unknown_names_list_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="demo_96s_nmc"):
        load_pack("no_such_pack")
    with pytest.raises(ConfigError, match="no such file"):
        find_resource("package://openbms_core/absent.dbc", tmp_path / "pack.yaml")
    with pytest.raises(ConfigError, match="not installed"):
        find_resource("package://no_such_package/absent.dbc", tmp_path / "pack.yaml")
