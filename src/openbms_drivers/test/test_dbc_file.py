"""DBCs as they are found: with small faults that are put right, and with others that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from openbms_core.config_file import ConfigError
from openbms_drivers.dbc_file import read_dbc

HEAD = 'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: Bms\n\n'
GOOD = 'BO_ 256 Pack: 8 Bms\n SG_ Voltage : 0|16@1+ (0.1,0) [0|500] "V" Vector__XXX\n\n'


def read(tmp_path: Path, text: str, encoding: str = "utf-8"):  # type: ignore[no-untyped-def]
    path = tmp_path / "x.dbc"
    path.write_bytes(text.encode(encoding))
    return read_dbc(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_units_in_any_usual_encoding(tmp_path: Path, encoding: str) -> None:
    text = HEAD + GOOD + 'BO_ 257 T: 8 Bms\n SG_ Temp : 0|8@1+ (1,-40) [-40|80] "°C" Vector__XXX\n'
    file = read(tmp_path, text, encoding)
    assert file.database.get_message_by_name("T").signals[0].unit == "°C"
    assert file.repairs == ()


@pytest.mark.parametrize(
    ("text", "said", "messages"),
    [
        (
            'BO_ 419364881 Long: 8 Bms\n SG_ A : 0|8@1+ (1,0) [0|0] "" X\n\n'
            'VAL_ 419364881 A 1 "on" 0 "off" ;\n',
            "flag of 29-bit",
            {"Pack": 0x100, "Long": 419364881},
        ),
        (
            'BO_ 258 Kl: 8 Bms\n SG_ 12V_Voltage : 0|8@1+ (0.1,0) [0|0] "V" X\n\n'
            'CM_ SG_ 258 12V_Voltage "12 V";\n',
            "begin with a digit",
            {"Pack": 0x100, "Kl": 258},
        ),
        ('CM_ SG_ 256 "no name";\n', "CM_ in line 12 cannot be read", {"Pack": 0x100}),
        ('VAL_ 256 Gone 1 "a" 0 "b" ;\n', "signals that do not exist were left out (Gone)", {"Pack": 0x100}),
        (
            'BO_ 259 P: 8 Bms\n SG_ A : 0|8@1+ (.5,0) [0|0] "" X\n',
            "without a digit before their point",
            {"Pack": 0x100, "P": 259},
        ),
        (
            'BO_ 1075054137 Mad: 8 Bms\n SG_ A : 0|8@1+ (1,0) [0|0] "" X\n\nVAL_ 1075054137 A 1 "a" ;\n',
            "more than 29 bits were left out: Mad",
            {"Pack": 0x100},
        ),
    ],
)
def test_small_faults_are_put_right_and_said(
    tmp_path: Path, text: str, said: str, messages: dict[str, int]
) -> None:
    file = read(tmp_path, HEAD + GOOD + text)
    assert said in " ".join(file.repairs)
    assert {message.name: message.frame_id for message in file.database.messages} == messages
    assert file.database.get_message_by_name("Pack").signals[0].name == "Voltage"


def test_a_29_bit_identifier_without_its_flag_is_one(tmp_path: Path) -> None:
    file = read(tmp_path, HEAD + 'BO_ 419364881 Long: 8 Bms\n SG_ A : 0|8@1+ (1,0) [0|0] "" X\n')
    assert file.database.messages[0].is_extended_frame


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "BO_ 256 Pack 8 Bms\n",
            r"x\.dbc:9: is not a DBC that can be read from here on: 'BO_ 256 Pack 8 Bms'",
        ),
        ('BO_ 256 Pack: 8 Bms\n SG_ V : 0-16@1+ (1,0) [0|0] "" X\n', r"x\.dbc:10: .*SG_ V : 0-16"),
        ("", r"x\.dbc: is not a DBC that can be read \(it has no message\)"),
    ],
)
def test_what_cannot_be_read_names_file_line_and_text(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, HEAD + text)


def test_what_is_no_file_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_dbc(tmp_path / "absent.dbc")
    with pytest.raises(ConfigError, match="this is a folder"):
        read_dbc(tmp_path)
    (tmp_path / "x.dbc").write_bytes(b"\x00\x01\x02")
    with pytest.raises(ConfigError, match="not a text file"):
        read_dbc(tmp_path / "x.dbc")


def test_lines_of_messages_and_signals(tmp_path: Path) -> None:
    file = read(tmp_path, HEAD + GOOD)
    message = file.database.messages[0]
    assert file.place(message) == "x.dbc:9"
    assert file.place(message, "Voltage") == "x.dbc:10"
    assert file.place(message, "Absent") == "x.dbc"
