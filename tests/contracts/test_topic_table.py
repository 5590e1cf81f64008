"""The topic table, the messages and the nodes say the same."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from openbms_core.topics import TOPICS

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = ROOT / "src" / "openbms_msgs" / "msg"


def test_each_row_has_its_message_and_the_message_names_the_row() -> None:
    for topic in TOPICS:
        package, _, name = topic.type.split("/")
        if package != "openbms_msgs":
            continue
        text = (MESSAGES / f"{name}.msg").read_text(encoding="utf-8")
        assert re.search(rf"\b{topic.name}\b", text), f"{name}.msg does not name the topic {topic.name}"
        assert f"Published by: {topic.publisher} " in text, (
            f"{name}.msg and the table differ about the publisher"
        )


def test_each_message_is_on_a_topic_or_inside_one() -> None:
    used = {topic.type.rsplit("/", 1)[1] for topic in TOPICS}
    inside = {
        name
        for path in MESSAGES.glob("*.msg")
        for name in re.findall(r"^([A-Z]\w+)\[?\]? ", path.read_text(), re.M)
    }
    for path in MESSAGES.glob("*.msg"):
        assert path.stem in used | inside, f"{path.name} is on no topic"


def test_conversions_cover_every_field_and_come_back() -> None:
    ros = pytest.importorskip("openbms_core.ros.convert")
    import numpy as np

    from openbms_core import types
    from openbms_core.types import PackMeasurement

    rng = np.random.default_rng(5)
    scan = PackMeasurement.empty(7, 3, 2, actuators=2)
    for item in fields(scan):
        value = getattr(scan, item.name)
        if isinstance(value, np.ndarray):
            filled = (
                rng.integers(0, 8, value.shape) if value.dtype != np.float64 else rng.normal(size=value.shape)
            )
            setattr(scan, item.name, filled.astype(np.float32).astype(value.dtype))
    scan.stamp_s, scan.scan_number, scan.bus_message = 1_700_000_000.25, 2**40, "bus is silent"
    back = ros.measurement_from_msg(ros.measurement_to_msg(scan, "SERIAL"))
    for item in fields(scan):
        np.testing.assert_array_equal(getattr(back, item.name), getattr(scan, item.name), err_msg=item.name)
    assert types.State.FAULT == ros.messages.BmsState.FAULT


@pytest.mark.parametrize(
    ("enumeration", "message", "prefix"),
    [
        ("Validity", "PackMeasurement", ""),
        ("BusState", "PackMeasurement", "BUS_"),
        ("State", "BmsState", ""),
        ("Level", "Fault", "LEVEL_"),
        ("FaultState", "Fault", "STATE_"),
        ("GridEventKind", "GridEvent", ""),
    ],
)
def test_enumerations_equal_the_message_constants(enumeration: str, message: str, prefix: str) -> None:
    from openbms_core import types

    text = (MESSAGES / f"{message}.msg").read_text(encoding="utf-8")
    for member in getattr(types, enumeration):
        match = re.search(rf"^uint8 {prefix}{member.name} *= *(\d+)", text, re.M)
        assert match, f"{message}.msg has no constant {prefix}{member.name}"
        assert int(match[1]) == member.value


def test_generated_reference_is_what_the_code_says() -> None:
    import subprocess
    import sys

    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate_reference.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
