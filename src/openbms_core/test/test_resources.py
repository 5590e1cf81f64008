"""Where configuration and the files that it names are found, and what is said where they are not."""

from pathlib import Path

import pytest

from openbms_core.config_file import ConfigError
from openbms_core.resources import find_config, find_resource


def test_a_name_is_a_shipped_file_and_a_path_is_itself(tmp_path: Path) -> None:
    assert find_config("packs", "demo_96s_nmc").name == "demo_96s_nmc.yaml"
    mine = tmp_path / "mine.yaml"
    mine.write_text("{}")
    assert find_config("packs", mine) == mine
    assert find_config("packs", "mine.yaml", beside=tmp_path / "system.yaml") == mine
    assert find_config("packs", "mine", beside=tmp_path / "system.yaml") == mine


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("demo_96s_nmx", "no such file. Did you mean 'demo_96s_nmc'?"),
        ("/nowhere/demo_96s_nmc.yaml", "no such file. Did you mean 'demo_96s_nmc'?"),
        ("something", "one of the shipped packs: "),
        ("/tmp", "this is a folder."),
    ],
)
def test_absent_configuration(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_config("packs", name)
    assert str(caught.value).startswith(f"{name}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("package://openbms_core/nothing.dbc", "no such file"),
        ("package://openbms_nothing/x.dbc", "the Python package 'openbms_nothing' is not installed"),
        ("package://openbms.core/x.dbc", "the Python package 'openbms.core' is not installed"),
        ("package:///x.dbc", "the Python package '' is not installed"),
        ("wrong.dbc", "That folder has: right.dbc."),
        (".", "this is a folder"),
    ],
)
def test_absent_resource(tmp_path: Path, reference: str, said: str) -> None:
    (tmp_path / "right.dbc").write_text("")
    with pytest.raises(ConfigError) as caught:
        find_resource(reference, beside=tmp_path / "pack.yaml")
    assert str(caught.value).startswith(f"{reference}: ")
    assert said in str(caught.value)


def test_resource_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "right.dbc").write_text("")
    assert find_resource("right.dbc", beside=tmp_path / "pack.yaml") == tmp_path / "right.dbc"
    assert find_resource("package://openbms_core/resources.py", beside=tmp_path / "x").is_file()
