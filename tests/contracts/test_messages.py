"""Contracts of the messages: every field explained, type hashes unchanged unless decided."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERFACES = sorted((ROOT / "src" / "openbms_msgs").glob("*/*.[ms][sr][gv]"))
HASHES = Path(__file__).with_name("type_hashes.json")
CONSTANT = re.compile(r"^\w+ +[A-Z][A-Z0-9_]* *=")
FIELD = re.compile(r"^[\w/]+(\[\d*\])? +[a-z]\w*\s*$")
# unit or stated range in brackets: [V], [0..1], [text], [false, true], [s, > 0] ...
BRACKET = re.compile(r"\[[^\]]+\]")
TIME_TYPES = ("builtin_interfaces/Time ", "builtin_interfaces/Duration ")


def blocks(path: Path) -> list[tuple[int, str, str]]:
    """Give line number, field line and the comment right above it, of each field."""
    found, comment = [], ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#"):
            comment += line
        elif not line.strip() or line == "---":
            comment = ""
        elif CONSTANT.match(line):
            continue
        else:
            found.append((number, line, comment))
            comment = ""
    return found


def test_there_are_interfaces() -> None:
    assert len(INTERFACES) >= 16


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.stem)
def test_header_says_who_publishes_and_where(path: Path) -> None:
    header = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        header += line
    expected = "Served by: " if path.suffix == ".srv" else "Published by: "
    assert expected in header
    assert re.search(r"\bon(ly where[^:]*)?: [a-z_]+", header), "the header names no topic"


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.stem)
def test_every_field_has_a_comment_with_unit_or_range(path: Path) -> None:
    for number, line, comment in blocks(path):
        assert FIELD.match(line), f"{path.name}:{number}: one field a line, comment above it: {line!r}"
        assert BRACKET.search(comment), (
            f"{path.name}:{number}: {line.split()[1]} has no [unit or range] above it"
        )


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.stem)
def test_estimates_carry_std_and_commands_expire(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    names = {line.split()[1] for _, line, _ in blocks(path)}
    if path.stem == "StateOfCharge":
        for name in ("soc", "cell_soc", "string_soc", "remaining_charge", "remaining_energy", "current_bias"):
            assert f"{name}_std" in names
    if path.stem.endswith("Command") or path.stem in {"Limits", "PowerLimits", "BmsState"}:
        assert "builtin_interfaces/Duration valid_for" in text
        assert any("reason" in name for name in names)


def installed_hashes() -> dict[str, str]:
    """Read the type hashes that the build generated, from the installed package."""
    ament = pytest.importorskip("ament_index_python")
    share = Path(ament.get_package_share_directory("openbms_msgs"))
    hashes = {}
    for path in INTERFACES:
        described = json.loads((share / path.parent.name / f"{path.stem}.json").read_text(encoding="utf-8"))
        for entry in described["type_hashes"]:
            if entry["type_name"].startswith("openbms_msgs/"):
                hashes[entry["type_name"]] = entry["hash_string"]
    return dict(sorted(hashes.items()))


def test_type_hashes_are_as_decided() -> None:
    """A changed message breaks every recording and peer: decide it, then rewrite the file with the printed
    content."""
    actual = installed_hashes()
    expected = json.loads(HASHES.read_text(encoding="utf-8"))
    assert actual == expected, f"new content of {HASHES.name}:\n{json.dumps(actual, indent=2)}"
