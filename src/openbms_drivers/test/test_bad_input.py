"""Bad input, one row a kind: the sentence names file, line and signal, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from generated_pack import write_pack

from openbms_core.config_file import ConfigError
from openbms_core.types import BusState
from openbms_drivers.frame import Frame
from openbms_drivers.log.can_log import CanLog
from openbms_drivers.pack_driver import PackDriver

CELLS = """BO_ 512 Cells: 8 DEV
 SG_ Cell0 : 0|16@1+ (0.0001,0) [0|6] "V" BMS
 SG_ Cell1 : 16|16@1+ (0.0001,0) [0|6] "V" BMS
 SG_ Cell2 : 32|16@1+ (0.0001,0) [0|6] "V" BMS
 SG_ Cell3 : 48|16@1+ (0.0001,0) [0|6] "V" BMS
"""
MAPPED: list[dict[str, Any]] = [
    {"to": "cell_voltage_v", "message": "Cells", "signal": "Cell{c}", "repeat": {"c": [0, 3]}}
]


def one(index: int, signal: str, message: str = "Cells") -> dict[str, Any]:
    return {"to": "cell_voltage_v", "message": message, "signal": signal, "first_index": index}


BAD: dict[str, tuple[str, list[dict[str, Any]], list[str]]] = {
    "a DBC whose third signal cannot be read": (
        CELLS.replace("Cell2 : 32|16", "Cell2 : 32/16"),
        MAPPED,
        ["pack.dbc:12", "SG_ Cell2 : 32/16", "Correct this line"],
    ),
    "a float's type that cannot be read, without which another number would come out": (
        CELLS + "\nSIG_VALTYPE_ 512 Cell0 ; 1 ;\n",
        MAPPED,
        ["pack.dbc:15", "SIG_VALTYPE_ 512 Cell0"],
    ),
    "multiplexer values that cannot be read, without which another cell would come out": (
        CELLS + "\nSG_MUL_VAL_ 512 Cell0 to Cell1;\n",
        MAPPED,
        ["pack.dbc:15", "SG_MUL_VAL_ 512 Cell0"],
    ),
    "signals that share bits": (
        CELLS.replace("Cell2 : 32|16", "Cell2 : 24|16"),
        MAPPED,
        ["pack.yaml:", "device.signals[0]", "Cells.Cell2 (pack.dbc:12)", "Cell1 (pack.dbc:11)",
         "share bit 24 to 31", "Correct its start bit"],
    ),
    "a signal beyond its message": (
        CELLS.replace("Cell3 : 48|16", "Cell3 : 56|16"),
        MAPPED,
        ["pack.yaml:", "Cells.Cell3 (pack.dbc:13)", "start bit 56 with 16 bit does not lie in 8 bytes"],
    ),
    "a signal that is too long to be a number": (
        CELLS.replace("512 Cells: 8", "512 Cells: 64").replace("Cell3 : 48|16", "Cell3 : 64|400"),
        MAPPED,
        ["pack.yaml:", "Cells.Cell3 (pack.dbc:13)", "400 bit are no number"],
    ),
    "a message that is too long to be one": (
        CELLS.replace("512 Cells: 8", "512 Cells: 5000"),
        MAPPED,
        ["pack.yaml:", "Cells.Cell0 (pack.dbc:10)", "a message cannot have 5000 bytes"],
    ),
    "a map to a signal that the DBC does not have": (
        CELLS,
        [one(0, "Cell0"), one(1, "Cel1")],
        ["pack.yaml:", "device.signals[1]", "message Cells of pack.dbc has no signal 'Cel1'",
         "Did you mean 'Cell1'?"],
    ),
    "a map to a message that the DBC does not have": (
        CELLS,
        [one(0, "Cell0", "Cels")],
        ["pack.yaml:", "device.signals[0]", "pack.dbc has no message 'Cels'", "Did you mean 'Cells'?"],
    ),
    "a cell that is mapped twice": (
        CELLS,
        [one(0, "Cell0"), one(0, "Cell1")],
        ["pack.yaml:", "device.signals[1]", "cell_voltage_v[0]", "Cells.Cell1", "Remove one"],
    ),
    "two mapped messages of one identifier": (
        CELLS + "\nBO_ 512 Other: 8 DEV\n SG_ CellX : 0|16@1+ (0.0001,0) [0|6] \"V\" BMS\n",
        [one(0, "Cell0"), one(1, "CellX", "Other")],
        ["pack.yaml:", "Other (pack.dbc:15)", "Cells (pack.dbc:9)", "the same identifier 0x200"],
    ),
    "two messages of one name": (
        CELLS + "\nBO_ 513 Cells: 8 DEV\n SG_ Cell0 : 0|16@1+ (0.0001,0) [0|6] \"V\" BMS\n",
        MAPPED,
        ["pack.yaml:", "several messages 'Cells' (pack.dbc:9 and pack.dbc:15)", "Rename all but one"],
    ),
    "two signals of one name": (
        CELLS.replace("Cell3", "Cell2"),
        [one(0, "Cell2")],
        ["pack.yaml:", "message Cells of pack.dbc has 2 signals 'Cell2'", "Rename all but one"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_in_dbc_or_map_names_file_line_and_signal(kind: str, tmp_path: Path) -> None:
    dbc, signals, said = BAD[kind]
    with pytest.raises(ConfigError) as caught:
        PackDriver(write_pack(tmp_path, dbc, signals))
    text = str(caught.value)
    for part in said:
        assert part in text
    assert "\n" not in text
    lines = (tmp_path / "pack.yaml").read_text().splitlines()
    (place,) = re.findall(r"pack\.yaml:(\d+)", text)
    entry = re.search(r"device\.signals\[(\d+)\]", text)
    if entry is None:
        assert lines[int(place) - 1] == "  dbc: pack.dbc"
    else:  # the line is one of the entry that is named
        signals_in_file = lines[lines.index("  signals:") + 1 : int(place)]
        assert sum(line.startswith("  - ") for line in signals_in_file) == int(entry[1]) + 1


def test_a_mapped_message_is_not_hidden_by_another_one_of_its_identifier(tmp_path: Path) -> None:
    dbc = CELLS + '\nBO_ 512 Other: 8 DEV\n SG_ CellX : 0|8@1+ (1,0) [0|6] "V" BMS\n'
    driver = PackDriver(write_pack(tmp_path, dbc, MAPPED))
    driver.decoder.feed(Frame(0x200, bytes.fromhex("409c000000000000")))
    assert driver.decoder.table.values[driver.decoder.table.slot("cell_voltage_v", 0)] == pytest.approx(4.0)
    assert driver.decoder.warnings == [
        "messages Cells (pack.dbc:9) and Other (pack.dbc:15) have the same identifier 0x200; each of its "
        "frames is read as Cells, which is mapped"
    ]


@pytest.mark.parametrize(
    ("integrity", "said"),
    [
        ({"counter": {"signal": "Cell0", "modulo": 16}}, "Cells.Cell0 is a floating-point number"),
        ({"checksum": {"signal": "Cell0", "kind": "sum"}}, "Cells.Cell0: a checksum is no floating-point"),
    ],
)
def test_a_float_counts_and_checks_nothing(integrity: dict[str, Any], said: str, tmp_path: Path) -> None:
    dbc = 'BO_ 512 Cells: 8 DEV\n SG_ Cell0 : 0|32@1- (1,0) [0|6] "V" BMS\n\nSIG_VALTYPE_ 512 Cell0 : 1;\n'
    with pytest.raises(ConfigError, match=said):
        PackDriver(
            write_pack(tmp_path, dbc, [one(0, "Cell0")], integrity=[{"message": "Cells", **integrity}])
        )


def test_a_log_that_is_cut_off_names_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "cut.log").write_text("(1.0) can0 200#00\n(1.1) can0 200#0001\n(1.2) can0 20")
    log = CanLog(tmp_path / "cut.log")
    assert len(list(log)) == 2
    assert log.told() == [
        "the log ends early: the last line (3) is cut off; everything before that was replayed"
    ]


def test_the_wrong_bus_names_what_it_brings(tmp_path: Path) -> None:
    driver = PackDriver(write_pack(tmp_path, CELLS, MAPPED), "socketcan:can1")
    driver.health.opened(0.0)
    driver.start(0.0)
    for number in range(20):
        driver.receive(Frame(0x555, b"\x01", 0, 0.1 * number, 0.1 * number))
    state, text = driver.health.judge(2.0)
    assert state == BusState.UNKNOWN_FRAMES
    assert "Frames arrive on socketcan:can1, but the DBC of the pack has none of them (0x555)" in text
    assert "Wrong pack file, or wrong bus" in text
