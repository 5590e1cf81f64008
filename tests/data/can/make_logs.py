"""Write the synthetic CAN logs beside this file: the same traffic in every format.

Run: ``openbms-env python tests/data/can/make_logs.py``. The frames are encoded by cantools, not by the
driver. MF4 is written where asammdf is installed. Nine seconds of a pack of four cells:

* 0 … 9 s: current and voltage at 100 Hz, both cell groups at 10 Hz, temperatures at 1 Hz, a message that is
  not mapped, two identifiers that the DBC does not have;
* 3 s: three current frames with a wrong checksum;
* 4 s: the second temperature is not available, once;
* 5 … 5.8 s: no cell voltages;
* 7 s: cell 2 rises above its safety limit and stays there.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import can
import cantools

HERE = Path(__file__).parent
BEGAN_S = 1_750_000_000.25
SECONDS = 9


def crc8_sae_j1850(data: bytes) -> int:
    """SAE J1850: polynomial 0x1D, start and final XOR 0xFF, bit by bit."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1D) & 0xFF if crc & 0x80 else crc << 1
    return crc ^ 0xFF


def traffic() -> Iterator[can.Message]:
    """Give the messages in order; their times are whole microseconds."""
    database = cantools.database.load_file(HERE / "log_pack.dbc")

    def message(at_us: int, name: str, data: bytes) -> can.Message:
        kind = database.get_message_by_name(name)
        return can.Message(
            timestamp=BEGAN_S + at_us / 1e6, arbitration_id=kind.frame_id, data=data,
            is_extended_id=kind.is_extended_frame, channel=0, is_rx=True,
        )  # fmt: skip

    def encode(name: str, **values: float) -> bytes:
        return bytes(database.encode_message(name, values))

    for tick in range(100 * SECONDS):
        at_us, t_s = 10_000 * tick, tick / 100
        current_a = round(-5.0 + 10.0 * ((tick % 200) / 200), 2)
        data = encode("Current", Current=current_a, Voltage=14.8, Counter=tick % 16, Checksum=0)
        check = crc8_sae_j1850(data[:-1])
        data = data[:-1] + bytes([check ^ (0x55 if 300 <= tick < 303 else 0)])
        yield message(at_us + 137, "Current", data)
        if tick % 10 == 0:
            cells_v = [3.70, 3.71, 4.30 if t_s >= 7.0 else 3.72, 3.69]
            if not 5.0 <= t_s < 5.8:
                yield message(
                    at_us + 411, "Cells", encode("Cells", Group=0, Cell0=cells_v[0], Cell1=cells_v[1])
                )
                yield message(
                    at_us + 655, "Cells", encode("Cells", Group=1, Cell2=cells_v[2], Cell3=cells_v[3])
                )
            yield can.Message(
                timestamp=BEGAN_S + (at_us + 901) / 1e6, arbitration_id=0x7A0, data=b"\x01\x02", channel=0,
                is_extended_id=False, is_rx=True,
            )  # fmt: skip
        if tick % 100 == 50:
            first = 25 + tick // 400
            data = bytes([40 + first, 255 if tick == 450 else 66])
            yield message(at_us + 1203, "Temperatures", data + b"\x00")
            yield message(at_us + 1450, "Diagnosis", encode("Diagnosis", Code=tick))
            yield can.Message(
                timestamp=BEGAN_S + (at_us + 1702) / 1e6, arbitration_id=0x18FF50E5, data=bytes(8), channel=0,
                is_extended_id=True, is_rx=True,
            )  # fmt: skip


def candump_line(message: can.Message, channel: str) -> str:
    """Give the line of ``candump -L``."""
    digits = 8 if message.is_extended_id else 3
    name = f"{message.arbitration_id:0{digits}X}"
    return f"({message.timestamp:.6f}) {channel} {name}#{bytes(message.data).hex().upper()}\n"


def for_people(message: can.Message, channel: str) -> str:
    """Give the line of ``candump -ta``."""
    digits = 8 if message.is_extended_id else 3
    name = f"{message.arbitration_id:0{digits}X}"
    data = bytes(message.data).hex(" ").upper()
    return f" ({message.timestamp:.6f})  {channel}  {name:>8}   [{message.dlc}]  {data}\n"


def savvycan_line(message: can.Message) -> str:
    """Give the line of SavvyCAN's CSV."""
    cells = [f"{byte:02X}" for byte in message.data] + [""] * (8 - message.dlc)
    at_us = round(1e6 * (message.timestamp - BEGAN_S)) + 5_000_000
    extended = str(message.is_extended_id).lower()
    return f"{at_us},{message.arbitration_id:08X},{extended},Rx,0,{message.dlc},{','.join(cells)},\n"


def main() -> None:
    """Write all files."""
    messages = list(traffic())
    lines = [candump_line(message, "can0") for message in messages]
    # mtime 0: the same bytes each time
    with (
        (HERE / "drive.candump.log.gz").open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
    ):
        packed.write("".join(lines).encode())
    # two buses: the second one has frames that the pack does not know, and more of them
    other = [
        f"({message.timestamp + 0.000050:.6f}) can1 {0x600 + index % 7:03X}#{index % 256:02X}\n" * 2
        for index, message in enumerate(messages[:400])
    ]
    both = [line for pair in zip(lines[:400], other, strict=True) for line in pair]
    (HERE / "two_buses.candump.log").write_text("".join(both))
    (HERE / "for_people.candump.txt").write_text(
        "".join(for_people(message, "can0") for message in messages[:400])
    )
    (HERE / "drive.savvycan.csv").write_text(
        "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8,\n"
        + "".join(map(savvycan_line, messages))
    )
    writers = {"drive.asc": can.ASCWriter, "drive.blf": can.BLFWriter, "drive.trc": can.TRCWriter,
               "drive.csv": can.CSVWriter}  # fmt: skip
    try:
        import asammdf  # noqa: F401

        writers["drive.mf4"] = can.MF4Writer
    except ImportError:
        print("drive.mf4 is left as it is: asammdf is not installed")
    for name, writer in writers.items():
        (HERE / name).unlink(missing_ok=True)
        with writer(HERE / name) as log:
            for message in messages:
                log.on_message_received(message)
    trc = HERE / "drive.trc"  # its head names the folder in which it was written
    trc.write_text(trc.read_text().replace(str(trc), trc.name))
    print(f"{len(messages)} frames, {sum(file.stat().st_size for file in HERE.iterdir())} bytes in all")


if __name__ == "__main__":
    main()
