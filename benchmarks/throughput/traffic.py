"""Packs and the frames that saturate their bus; they repeat for ever, counters and checksums included."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import yaml

from openbms_core.frame_integrity import checksum
from openbms_core.pack import load_pack
from openbms_core.resources import find_config
from openbms_drivers.frame import BIT_RATE_SWITCH, FD, Frame
from openbms_drivers.signal_decoder import SignalDecoder
from throughput.bits import classic_bits, classic_worst_bits, fd_seconds, fd_worst_seconds

__all__ = ["Traffic", "classic", "fd_long", "fd_short", "mixed"]

_SCANS = 48
"""A multiple of 16, the modulus of the counters."""


@dataclass(frozen=True)
class Traffic:
    """Frames that are repeated.

    Attributes
    ----------
    name : str
    pack : str
        Pack file.
    frames : list of Frame
    seconds : float
        Time that the bus needs for all of them, with the stuff bits that they have [s].
    worst_seconds : float
        With as many stuff bits as there can be [s].
    of_pack : int
        How many of them the pack file maps.
    fd : bool
    """

    name: str
    pack: str
    frames: list[Frame]
    seconds: float
    worst_seconds: float
    of_pack: int
    fd: bool

    @property
    def rate_hz(self) -> float:
        """Frames in a second at 100 % load."""
        return len(self.frames) / self.seconds

    @property
    def worst_rate_hz(self) -> float:
        """The same with as many stuff bits as there can be."""
        return len(self.frames) / self.worst_seconds


def _demo_frames() -> list[Frame]:
    """Give scans of the demonstration pack in its own mix, content at random."""
    pack = load_pack("demo_96s_nmc")
    messages = SignalDecoder(pack).database.messages
    ids = {entry.message: entry.checksum.data_id for entry in pack.file.device.integrity if entry.checksum}
    source, counters, frames = random.Random(1), dict.fromkeys(ids, 0), []

    def add(name: str, upper: int | None) -> None:
        data = bytearray(source.randbytes(messages[name].length))
        counters[name] = (counters[name] + 1) % 16
        data[0] = counters[name] | ((data[0] >> 4 if upper is None else upper) << 4)
        if name == "Pack_Current":  # below the limit: no scan for each frame
            data[1:4] = source.randrange(3000).to_bytes(3, "little")
        data[-1] = checksum("crc8_sae_j1850", bytes(data[:-1]), ids[name])
        frames.append(Frame(messages[name].frame_id, bytes(data)))

    for _ in range(_SCANS):
        for name in ids:
            repeats = 10 if name == "Pack_Current" else 4 if name.endswith("CellVoltages") else 1
            for part in range(repeats):
                add(name, 0 if name == "Pack_Current" else part if repeats == 4 else None)
    return frames


def _timed(name: str, pack: Path, frames: list[Frame], of_pack: int) -> Traffic:
    fd = any(frame.flags & FD for frame in frames)
    if fd:
        seconds = sum(fd_seconds(frame.identifier, frame.data) for frame in frames)
        worst = sum(fd_worst_seconds(len(frame.data)) for frame in frames)
    else:
        seconds = sum(classic_bits(frame.identifier, frame.data) for frame in frames) / 500e3
        worst = sum(classic_worst_bits(len(frame.data)) for frame in frames) / 500e3
    return Traffic(name, str(pack), frames, seconds, worst, of_pack, fd)


def classic() -> Traffic:
    """500 kbit/s, every frame is of the demonstration pack: 96 cells, checksum and counter in each frame."""
    frames = _demo_frames()
    name = "500 kbit/s, 8 bytes, all of the pack"
    return _timed(name, find_config("packs", "demo_96s_nmc"), frames, len(frames))


def mixed() -> Traffic:
    """500 kbit/s, three of four frames are of other devices, as on the bus of a car."""
    source, frames = random.Random(2), []
    for frame in (own := _demo_frames()):
        others = [Frame(0x400 + source.randrange(64), source.randbytes(8)) for _ in range(3)]
        frames += [*others, frame]
    name = "500 kbit/s, 8 bytes, a quarter of the pack"
    return _timed(name, find_config("packs", "demo_96s_nmc"), frames, len(own))


_FD_HEAD = 'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: BMS DEV\n\n'


def _fd_pack(folder: Path, length: int) -> tuple[Path, int]:
    """Write a pack whose cells come in CAN FD frames of ``length`` bytes; give it and cells per frame."""
    per_frame = (length - 2) // 2
    count = 192 // per_frame
    cells = count * per_frame
    lines = [_FD_HEAD, "BO_ 256 Current: 8 DEV\n"]
    lines += [' SG_ Counter : 0|4@1+ (1,0) [0|15] "" BMS\n', ' SG_ Checksum : 8|8@1+ (1,0) [0|255] "" BMS\n']
    lines += [' SG_ Current : 16|16@1- (0.1,0) [0|0] "A" BMS\n\n']
    for number in range(count):
        lines.append(f"BO_ {512 + number} Cells{number}: {length} DEV\n")
        lines.append(
            ' SG_ Counter : 0|4@1+ (1,0) [0|15] "" BMS\n SG_ Checksum : 8|8@1+ (1,0) [0|255] "" BMS\n'
        )
        lines += [
            f' SG_ Cell{number * per_frame + cell} : {16 + 16 * cell}|16@1+ (0.0001,0) [0|0] "V" BMS\n'
            for cell in range(per_frame)
        ]
        lines.append("\n")
    for name in ["Current", *(f"Cells{number}" for number in range(count))]:
        identifier = 256 if name == "Current" else 512 + int(name[5:])
        lines.append(f'BA_ "VFrameFormat" BO_ {identifier} 14;\n')
    head = 'BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN",' + ",".join(
        f'"reserved{n}"' for n in range(2, 14)
    )
    lines.insert(
        1, f'{head},"StandardCAN_FD","ExtendedCAN_FD";\nBA_DEF_DEF_ "VFrameFormat" "StandardCAN";\n\n'
    )
    # attributes come behind the messages in a DBC
    definitions = lines.pop(1)
    first = next(at for at, line in enumerate(lines) if line.startswith("BA_ "))
    lines.insert(first, definitions)
    (folder / "fd.dbc").write_text("".join(lines))
    content = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    check = {"signal": "Checksum", "kind": "crc8_sae_j1850"}
    content["topology"] = {"cells_in_series": cells}
    content["contactors"] = {"authority": "none", "break_current_a": 5.0, "opening_deadline_s": 2.0}
    keep = ("schema_version", "name", "serial", "cell", "topology", "limits", "contactors")
    content = {key: content[key] for key in keep if key in content}
    content["measurement"] = {
        "scan_period_s": 0.1,
        "max_age_s": {"cell_voltage_v": 1.0, "string_current_a": 1.0},
    }
    content["device"] = {
        "type": "generic",
        "dbc": "fd.dbc",
        "integrity": [{"message": "*", "checksum": check, "counter": {"signal": "Counter", "modulo": 16}}],
        "signals": [
            {"to": "string_current_a", "message": "Current", "signal": "Current"},
            *(
                {
                    "to": "cell_voltage_v", "message": f"Cells{number}", "signal": "Cell{c}",
                    "repeat": {"c": [number * per_frame, (number + 1) * per_frame - 1]},
                    "first_index": number * per_frame,
                }
                for number in range(count)
            ),
        ],
    }  # fmt: skip
    path = folder / "fd.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path, per_frame


def _fd(folder: Path, length: int, name: str) -> Traffic:
    folder.mkdir(parents=True, exist_ok=True)
    path, per_frame = _fd_pack(folder, length)
    source, frames = random.Random(3), []
    for scan in range(_SCANS):
        for identifier in (256, *range(512, 512 + 192 // per_frame)):
            size = 8 if identifier == 256 else length
            if identifier == 256:
                body = (source.randrange(100)).to_bytes(2, "little") + bytes(4)
            else:
                body = b"".join(
                    source.randrange(30_000, 42_000).to_bytes(2, "little") for _ in range(per_frame)
                )
            data = bytearray([scan % 16, 0, *body.ljust(size - 2, b"\0")])
            data[1] = checksum("crc8_sae_j1850", bytes(data[:1] + data[2:]), None)
            frames.append(Frame(identifier, bytes(data), FD | BIT_RATE_SWITCH))
    return _timed(name, path, frames, len(frames))


def fd_short(folder: Path) -> Traffic:
    """CAN FD, 2 Mbit/s behind 500 kbit/s, frames of 8 bytes: the most frames."""
    return _fd(folder / "short", 8, "FD 2 Mbit/s, 8 bytes, all of the pack")


def fd_long(folder: Path) -> Traffic:
    """CAN FD, 2 Mbit/s behind 500 kbit/s, frames of 64 bytes with 31 cells each: the most values."""
    return _fd(folder / "long", 64, "FD 2 Mbit/s, 64 bytes, all of the pack")
