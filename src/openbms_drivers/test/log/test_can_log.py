"""Logs of every kind, whole, cut off, broken, and of several buses."""

from __future__ import annotations

import gc
import gzip
import sqlite3
from pathlib import Path

import can
import pytest

from openbms_core.config_file import ConfigError
from openbms_drivers.frame import BIT_RATE_SWITCH, ERROR, EXTENDED, FD, REMOTE, Frame
from openbms_drivers.log.can_log import LONGEST_SILENCE_S, CanLog

DATA = Path(__file__).resolve().parents[4] / "tests" / "data" / "can"
KINDS = {
    "drive.asc": "asc", "drive.blf": "blf", "drive.csv": "csv", "drive.trc": "trc",
    "drive.savvycan.csv": "savvycan", "drive.mf4": "mf4",
}  # fmt: skip


def frames(path: Path, channel: str | None = None) -> tuple[list[Frame], CanLog]:
    log = CanLog(path, channel)
    return list(log), log


def written(folder: Path, text: str, name: str = "x.log") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_every_format_gives_the_same_frames(name: str) -> None:
    found, log = frames(DATA / name)
    expected, reference = frames(DATA / "drive.candump.log.gz")
    assert log.kind == KINDS[name]
    assert found == expected
    assert (log.cut, reference.cut, reference.channel, reference.kind) == ("", "", "can0", "candump")


def test_candump_is_read_as_python_can_reads_it(tmp_path: Path) -> None:
    text = gzip.decompress((DATA / "drive.candump.log.gz").read_bytes()).decode()
    text += (
        "(1750000020.000001) can0 123##3" + "11" * 12 + "\n(1750000020.000002) can0 123##0" + "22" * 64 + "\n"
        "(1750000020.000003) can0 00000123#R\n(1750000020.000004) can0 7FF#R3\n\n"
        "(1750000020.000005) can0 123#1122 T\n(1750000020.000006) can0 123#\n"
        "(1750000020.000007) can0 20000080#0000000000000000\n"
    )
    path = written(tmp_path, text)
    found, _ = frames(path)
    theirs = list(can.CanutilsLogReader(path))
    assert len(found) == len(theirs)
    began_s = theirs[0].timestamp
    for mine, other in zip(found, theirs, strict=True):
        flags = EXTENDED * other.is_extended_id | FD * other.is_fd | REMOTE * other.is_remote_frame
        flags |= BIT_RATE_SWITCH * other.bitrate_switch
        if other.is_error_frame:
            assert (mine.flags, mine.identifier) == (ERROR, 0x80), "python-can forgets the class"
            continue
        at_s = round(other.timestamp - began_s, 6)
        assert mine == Frame(other.arbitration_id, bytes(other.data), flags, at_s, at_s)


def test_candump_for_people(tmp_path: Path) -> None:
    text = (
        " (1750000000.000001)  can0  123   [2]  11 22   '.\"'\n"
        " (1750000000.000002)  can0  RX - -  18FF50E5   [3]  01 02 03\n"
        " (1750000000.000003)  can0  TX B E  123  [12]  00 01 02 03 04 05 06 07 08 09 0A 0B\n"
        " (1750000000.000004)  can0  123   [0]  remote request\n"
        "(1750000000.000005) RX0 1DB [8] 00 11 22 33 44 55 66 77\n"
        " (2025-06-15 15:06:40.000006)  can0  12345678   [0] \n"
    )
    found, log = frames(written(tmp_path, text), "can0")
    assert [(f.identifier, f.data.hex(), f.flags) for f in found] == [
        (0x123, "1122", 0), (0x18FF50E5, "010203", EXTENDED), (0x123, bytes(range(12)).hex(), FD),
        (0x123, "", REMOTE), (0x12345678, "", EXTENDED),
    ]  # fmt: skip
    assert found[-1].monotonic_s == pytest.approx(5e-6)
    assert log.channels == {"can0": 5, "RX0": 1}
    assert log.began == "2025-06-15T15:06:40.000001+00:00"


def test_can_fd_in_asc_blf_and_trc(tmp_path: Path) -> None:
    messages = [
        can.Message(timestamp=1.0, arbitration_id=0x77, data=bytes(range(8)), is_extended_id=False,
                    channel=0),
        can.Message(
            timestamp=1.5, arbitration_id=0x18000001, data=bytes(range(64)), is_fd=True, bitrate_switch=True,
            channel=0,
        ),
    ]  # fmt: skip
    for name, writer in (("a.asc", can.ASCWriter), ("a.blf", can.BLFWriter)):
        with writer(tmp_path / name) as log:
            for message in messages:
                log.on_message_received(message)
        found, _ = frames(tmp_path / name)
        assert found == [
            Frame(0x77, bytes(range(8))),
            Frame(0x18000001, bytes(range(64)), EXTENDED | FD | BIT_RATE_SWITCH, 0.5, 0.5),
        ]


def test_times_of_an_asc_that_count_from_the_event_before(tmp_path: Path) -> None:
    text = (
        "date Mon Jan 1 10:00:00.000 am 2024\nbase hex  timestamps relative\nno internal events logged\n"
        "   0.500000 1  123             Rx   d 1 01\n   0.250000 1  Statistic: D 1 R 0\n"
        "   0.250000 1  124             Rx   d 1 02\n   0.100000 1  125             Rx   d 1 03\n"
    )
    found, log = frames(written(tmp_path, text, "x.asc"))
    assert [(frame.identifier, frame.monotonic_s) for frame in found] == [
        (0x123, 0.0), (0x124, 0.5), (0x125, 0.6),
    ]  # fmt: skip
    assert log.went_back == 0


def test_can_fd_in_formats_that_do_not_name_it(tmp_path: Path) -> None:
    with can.CSVWriter(tmp_path / "x.csv") as log:
        log.on_message_received(
            can.Message(timestamp=1.0, arbitration_id=0x77, data=bytes(64), is_fd=True, is_extended_id=False)
        )
    assert frames(tmp_path / "x.csv")[0] == [Frame(0x77, bytes(64), FD)]


def test_an_asc_line_of_can_fd_that_is_cut_is_no_shorter_frame(tmp_path: Path) -> None:
    line = "   {}.0 CANFD   1 Rx        123  Name 1 0 9 12 01 02 03 04 05 06 07 08{}\n"
    text = "date Mon Jan 1 10:00:00.000 am 2024\nbase hex  timestamps absolute\n"
    path = written(tmp_path, text + line.format(1, " 09 0A 0B 0C") + line.format(2, ""), "x.asc")
    found, log = frames(path)
    assert [len(frame.data) for frame in found] == [12]
    assert log.cut == "the last line (4) is cut off"


def test_sqlite_of_python_can(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE messages (ts, id, extended, remote, error, dlc, data)")
        database.execute("INSERT INTO messages VALUES (1.5, 291, 0, 0, 0, 2, x'0102')")
    found, log = frames(path)
    assert (found, log.kind) == ([Frame(0x123, b"\x01\x02")], "db")


# ---- several buses, and time


def test_the_bus_of_the_pack_is_taken(tmp_path: Path) -> None:
    path = DATA / "two_buses.candump.log"
    log = CanLog(path, knows=lambda key: key in (0x100, 0x101))
    found = list(log)
    assert (log.channel, log.channels, len(found)) == ("can0", {"can0": 400, "can1": 800}, 400)
    assert log.told() == ["bus 'can0' was replayed; left out: 'can1' with 800 frames"]
    unknown, log = frames(path)
    assert (log.channel, len(unknown)) == ("can1", 800), "where nothing tells: the one with most frames"
    asked, log = frames(path, "can1")
    assert asked == unknown
    with pytest.raises(ConfigError, match=r"two_buses.*has no bus 'can7'; it has 'can0', 'can1'\. Name one"):
        frames(path, "can7")


def test_a_bus_that_begins_late_is_found_when_it_is_named(tmp_path: Path) -> None:
    lines = [f"({0.001 * number:.6f}) can0 100#00\n" for number in range(20_100)]
    found, log = frames(written(tmp_path, "".join(lines) + "(21.000000) can1 123#01\n"), "can1")
    assert [(frame.identifier, frame.monotonic_s) for frame in found] == [(0x123, 21.0)]
    assert log.channels == {"can0": 20_100, "can1": 1}


def test_what_a_terminal_wrote_before_the_first_frame(tmp_path: Path) -> None:
    text = (
        "=~=~= terminal log =~=~=\r\n 00 11]\r\n\r\n(55.48) RX0 1B00007B [8] 7B 40 01 00 00 00 00 00\r\n"
        "(55.49) RX0 583 [8] 00 40 80 40 00 48 00 00\r\n"
    )
    found, log = frames(written(tmp_path, text))
    assert [frame.key for frame in found] == [0x1B00007B | 1 << 31, 0x583]
    assert log.told() == ["2 lines before the first frame are no frames and were left out"]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_savvycan_as_older_ones_write_it(mark: str, tmp_path: Path) -> None:
    text = (
        f"{mark}Time Stamp,ID,Extended,Bus,DLC,D1,D2,D3,D4,D5,D6,D7,D8\n"
        "2124377,3a0,0,1,8,ff,ff,c0,ff,0,ff,ff,fd\n"
        "2124999,337,0,1,2,f,1,0,0,0,0,0,0\n"
    )
    found, log = frames(written(tmp_path, text, "x.csv"))
    assert log.kind == "savvycan"
    assert [(frame.identifier, frame.data.hex()) for frame in found] == [
        (0x3A0, "ffffc0ff00fffffd"), (0x337, "0f01"),
    ]  # fmt: skip


def test_times_in_another_unit_are_noticed(tmp_path: Path) -> None:
    rows = "".join(f"{5 * number},75A,FALSE,0,1,3,\n" for number in range(3000))
    found, log = frames(written(tmp_path, "Time Stamp,ID,Extended,Bus,LEN,D1\n" + rows, "x.csv"))
    assert len(found) == 3000
    assert log.told() == [
        "3000 frames in 0.015 s are more than any bus carries: the times of this file seem to have another "
        "unit than those of its format"
    ]


def test_a_classical_frame_with_a_length_code_above_8(tmp_path: Path) -> None:
    text = (
        "date Mon Jan 1 10:00:00.000 am 2024\nbase hex  timestamps absolute\n"
        "   1.000000 1  3FF             Tx   d D 55 AA 01 02 03 04 05 06\n   2.0 1  3FF   Tx   d 1 55\n"
    )
    found, _ = frames(written(tmp_path, text, "x.asc"))
    assert [frame.data.hex() for frame in found] == ["55aa010203040506", "55"]


def test_a_packed_blf_is_not_taken_for_one_that_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "drive.blf.gz").write_bytes(gzip.compress((DATA / "drive.blf").read_bytes()))
    found, log = frames(tmp_path / "drive.blf.gz")
    assert found == frames(DATA / "drive.blf")[0]
    assert (log.kind, log.cut) == ("blf", "")


def test_time_that_goes_back_and_long_silences(tmp_path: Path) -> None:
    times = [100.0, 100.2, 100.1, 100.3, 50.0, 50.1, 5000.0, 5000.5]
    path = written(tmp_path, "".join(f"({time:.6f}) can0 123#00\n" for time in times))
    found, log = frames(path)
    silence = LONGEST_SILENCE_S
    assert [frame.monotonic_s for frame in found] == pytest.approx(
        [0.0, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4 + silence, 0.9 + silence]
    )
    assert [frame.stamp_s for frame in found] == pytest.approx([time - 100.0 for time in times])
    assert (log.went_back, log.silences) == (2, 1)
    assert log.told() == [
        "time goes back 2 times, by 50.300000 s at most",
        "1 silences longer than 60 s were shortened to that, by 4889.9 s together",
    ]


# ---- cut off


def cut_at(tmp_path: Path, name: str, size: int) -> Path:
    path = tmp_path / name
    path.write_bytes((DATA / name).read_bytes()[:size])
    return path


@pytest.mark.parametrize("part", [0.4, 0.7777, 0.93])
@pytest.mark.parametrize("name", ["drive.asc", "drive.csv", "drive.trc", "drive.savvycan.csv"])
def test_a_text_log_that_is_cut_off_is_read_as_far_as_it_goes(name: str, part: float, tmp_path: Path) -> None:
    whole, _ = frames(DATA / name)
    size = int(part * (DATA / name).stat().st_size)
    while (text := (DATA / name).read_bytes()[:size]).endswith(b"\n"):
        size -= 1  # what is cut behind a whole line cannot be told from a whole log
    found, log = frames(cut_at(tmp_path, name, size))
    lines = text.count(b"\n")
    # a frame of which a part is missing is not made up: not more than the whole lines, and the last one
    assert found[:-1] == whole[: len(found) - 1]
    assert 0 <= lines - len(found) <= 40, "the head of a .trc has most lines"
    assert f"({lines + 1})" in log.cut
    assert log.told() == [f"the log ends early: {log.cut}; everything before that was replayed"]


def test_a_packed_log_that_is_cut_off(tmp_path: Path) -> None:
    whole, _ = frames(DATA / "drive.candump.log.gz")
    found, log = frames(cut_at(tmp_path, "drive.candump.log.gz", 4000))
    assert 200 < len(found) < len(whole)
    assert found == whole[: len(found)]
    assert log.cut == f"the compressed file was cut off behind line {len(found)}"


def test_a_blf_that_is_cut_off(tmp_path: Path) -> None:
    whole, _ = frames(DATA / "drive.blf")
    found, log = frames(cut_at(tmp_path, "drive.blf", 6000))
    assert 100 < len(found) < len(whole)
    assert found == whole[: len(found)]
    assert "announces" in log.cut
    assert "has 6000" in log.cut


def test_an_mf4_that_is_cut_off_is_refused_in_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"drive\.mf4: cannot be read as MF4"):
        frames(cut_at(tmp_path, "drive.mf4", 6000))
    gc.collect()
    assert capfd.readouterr().err == "", "nothing of what the library says in its end"


def test_the_last_line_of_a_candump(tmp_path: Path) -> None:
    head = "(1.0) can0 123#00\n(1.1) can0 123#01\n"
    for tail, count, said in (
        ("(1.2) can0 12", 2, "the last line (3) is cut off"),
        ("(1.2) can0 123#0", 2, "the last line (3) is cut off"),
        ("(1.2) can0 123#02", 3, "the last line (3) has no end, so it may be cut off"),
        ("\0\0\0\0\n\n", 2, "the last line (3) is cut off"),
        ("\n", 2, ""),
    ):
        found, log = frames(written(tmp_path, head + tail))
        assert (len(found), log.cut) == (count, said), tail


# ---- broken


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("hello\nworld\n", r"x\.log:1: this is no CAN log that is known \('hello'\)\. Known: candump"),
        ("(1.0) can0 123#00\nnonsense\n(1.1) can0 123#00\n", r"x\.log:2: this is not a line of candump \('"),
        ("(1.0) can0 123#00\n(1.1) can0 123#0G\n(1.2) can0 123#00\n", r"x\.log:2: '\(time\) channel"),
        ("(1.0) can0 123#00\n(1.1) can0 900#00\n(1.2) can0 123#00\n", r"x\.log:2: 0x900 is no CAN"),
        ("(1.0) can0 123#00\n(1.1) can0 -12#00\n(1.2) can0 123#00\n", r"x\.log:2: -0x12 is no CAN"),
        ("(1.0) can0 123#00\n(nan) can0 123#00\n(1.2) can0 123#00\n", r"x\.log:2: the time is nan"),
        ("(1.0) can0 123#00\n(1e999) can0 123#00\n(1.2) can0 123#00\n", r"x\.log:2: the time is inf"),
        ("timestamp,arbitration_id,extended,remote,error,dlc,data\nnan,0x1,0,0,0,0,\n1,0x1,0,0,0,0,\n",
         r"x\.log:2: the time is nan"),
        ("timestamp,arbitration_id,extended,remote,error,dlc,data\n1,0xFFFFFFFFF,1,0,0,0,\n1,0x1,0,0,0,0,\n",
         r"x\.log:2: 0xfffffffff is no CAN identifier"),
        ("Time Stamp,ID,Extended,Dir,Bus,LEN,D1\n1,123,false,Rx,0,1,\0\n1,123,false,Rx,0,1,1\n",
         r"x\.log:2: a cell is missing or is no number"),
        ("(1.0) can0 123#00\n(1.1) can0 123#" + "00" * 9 + "\n(1.2) can0 123#00\n", "cannot have 9 bytes"),
        ("  can0  123   [2]  11 22\n", r"x\.log:1: the frame has no time: record with `candump -L`"),
        ("(1.0)  can0  123   [3]  11 22\n(1.0)  can0  123   [0]\n", r"x\.log:1: \[3\] bytes are ann"),
        ("timestamp,arbitration_id,extended,remote,error,dlc,data\n", "there is no frame in it"),
        ("timestamp,arbitration_id,extended,remote,error,dlc,data\n1.0,0xZZ,0,0,0,0,\n1,0x1,0,0,0,0,\n",
         r"x\.log:2: invalid literal"),
        ("date Mon Jan 1\nbase hex  timestamps absolute\n0.1 1 123 Rx d 2 01\n0.2 1 123 Rx d 2 01 02\n",
         r"x\.log:3: 2 bytes are announced and 1 are there"),
        ("Time Stamp,ID,Extended,Dir,Bus,LEN,D1\n1,123,false,Rx,0,x,1\n1,123,false,Rx,0,1,1\n",
         r"x\.log:2: a cell is missing or is no number"),
    ],
)  # fmt: skip
def test_what_is_broken_is_said_with_file_and_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        frames(written(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.blf", b"LOGG" + b"\x01" * 50, "cannot be read as BLF"),
        ("a.mf4", b"MDF     4.10    " + b"\x00" * 80, "cannot be read as MF4"),
        ("a.db", b"SQLite format 3\0" + b"\x07" * 80, "cannot be read as DB"),
        ("a.gz", b"\x1f\x8b\x08\x00garbage", "cannot be unpacked"),
    ],
)
def test_binary_files_that_are_none(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        frames(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        CanLog(tmp_path / "gone.log")
    with pytest.raises(ConfigError, match="this is a folder"):
        CanLog(tmp_path)
