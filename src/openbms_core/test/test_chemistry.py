"""What is usual for a chemistry is sourced, in order, and offered where a limit is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from openbms_core.chemistry import DEEP_DISCHARGE, USUAL_LIMITS, usual_triple
from openbms_core.config_file import ConfigError
from openbms_core.pack import Limits, LimitTriple, load_pack
from openbms_core.protection import Protection, with_cell_defaults
from openbms_core.resources import find_config

TRIPLES = sorted(name for name, field in Limits.model_fields.items() if field.annotation is LimitTriple)


@pytest.mark.parametrize("chemistry", USUAL_LIMITS)
def test_usual_triples_are_nested_and_sourced(chemistry):
    triples = USUAL_LIMITS[chemistry]
    assert set(triples) == {name for name in TRIPLES if "current" not in name}
    for name, triple in triples.items():
        values = [triple.operating, triple.recommended, triple.safety]
        assert values == sorted(values, reverse="_min_" in name) and len(triple.source) > 20
    low, high = triples["cell_voltage_min_v"], triples["cell_voltage_max_v"]
    assert low.operating < high.operating
    if chemistry in DEEP_DISCHARGE:
        assert DEEP_DISCHARGE[chemistry].value < low.safety and DEEP_DISCHARGE[chemistry].source


def test_defaults_of_the_cell_fill_only_what_is_absent():
    filled = with_cell_defaults(Protection(), "lfp", 100.0, 96)
    assert filled.deep_discharge_voltage_v == 1.5 and filled.standstill_charge_ah == pytest.approx(2.0)
    assert with_cell_defaults(Protection(), "lfp", 100.0, 4).standstill_charge_ah == pytest.approx(8.0)
    own = Protection(deep_discharge_voltage_v=1.8, standstill_charge_ah=0.5)
    assert with_cell_defaults(own, "lfp", 100.0, 96) == own
    assert with_cell_defaults(Protection(), "lto", 20.0, 24).deep_discharge_voltage_v is None


def demo_without(tmp_path: Path, *keys: str, cell: str = "lg_hg2") -> Path:
    """Write the demonstration pack without some keys."""
    data = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    data["cell"] = cell
    for key in keys:
        *path, last = key.split(".")
        here = data
        for step in path:
            here = here[step]
        del here[last]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return file


@pytest.mark.parametrize("key", ["limits.cell_voltage_max_v", "limits.cell_voltage_max_v.safety"])
def test_a_missing_triple_is_refused_and_the_usual_one_offered(tmp_path, key):
    file = demo_without(tmp_path, key)
    with pytest.raises(ConfigError) as error:
        load_pack(file)
    (problem,) = error.value.problems
    line = file.read_text().splitlines().index("limits:") + 1
    assert problem.startswith(
        f"{file}:{line if key.count('.') == 1 else line + 1}: {key}: this key is missing. "
    )
    assert "Usual for NMC: cell_voltage_max_v: {operating: 4.15, recommended: 4.2, safety: 4.25}" in problem
    assert "LG INR18650HG2" in problem and "data sheet of your cell" in problem


def test_what_is_offered_loads(tmp_path):
    file = demo_without(tmp_path, "limits.discharge_temperature_min_degc")
    with pytest.raises(ConfigError) as error:
        load_pack(file)
    offer = str(error.value).split("Usual for NMC: ")[1].split(" (")[0]
    text = file.read_text().replace("limits:\n", f"limits:\n  {offer}\n")
    file.write_text(text)
    assert load_pack(file).file.limits.discharge_temperature_min_degc.recommended == -20.0


@pytest.mark.parametrize("cell", ["no_such_cell", "broken"])
def test_without_a_readable_cell_file_nothing_is_offered(tmp_path, cell):
    (tmp_path / "broken.yaml").write_text("[1, 2]\n")
    file = demo_without(
        tmp_path, "limits.cell_voltage_max_v", cell=cell if cell != "broken" else "broken.yaml"
    )
    with pytest.raises(ConfigError, match=r"cell_voltage_max_v: this key is missing\. Add it"):
        load_pack(file)


def test_what_has_no_usual_value_gets_the_plain_cure(tmp_path):
    assert usual_triple("nmc", "charge_current_max_a") == usual_triple("lmo", "cell_voltage_max_v") == ""
    file = demo_without(tmp_path, "limits.charge_current_max_a", "contactors.authority")
    with pytest.raises(ConfigError) as error:
        load_pack(file)
    assert all("this key is missing. Add it" in problem for problem in error.value.problems)
    assert len(error.value.problems) == 2
    shutil.rmtree(tmp_path)
