"""Microseconds per frame of the driver's decoder, against cantools decoding the same frames in the same run.

The driver checks length, checksum and counter, takes what the pack file maps, and stores it with time and
validity; cantools' ``decode_message`` alone only decodes. Run: ``openbms-env python
benchmarks/can_decode.py``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from openbms_core.frame_integrity import checksum
from openbms_core.pack import LoadedPack, load_pack
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_drivers.signal_decoder import SignalDecoder

_SCANS = 40
_ROUNDS = 7


def scan_frames(pack: LoadedPack) -> list[Frame]:
    """Give the frames of some scans of the demonstration pack, in its own mix, with random content."""
    messages = SignalDecoder(pack).database.messages
    identifiers = {
        entry.message: entry.checksum.data_id for entry in pack.file.device.integrity if entry.checksum
    }
    source, counters, frames = random.Random(1), dict.fromkeys(identifiers, 0), []

    def add(name: str, upper: int | None = None) -> None:
        data = bytearray(source.randbytes(messages[name].length))
        counters[name] = (counters[name] + 1) % 16
        data[0] = counters[name] | ((data[0] >> 4 if upper is None else upper) << 4)
        if name == "Pack_Current":
            data[1:4] = source.randrange(3000).to_bytes(
                3, "little"
            )  # below the limit: no scan for each frame
        data[-1] = checksum("crc8_sae_j1850", bytes(data[:-1]), identifiers[name])
        at_s = len(frames) * 0.0016
        frames.append(Frame(messages[name].frame_id, bytes(data), 0, at_s, at_s))

    for _ in range(_SCANS):
        for name in identifiers:
            repeats = 10 if name == "Pack_Current" else 4 if name.endswith("CellVoltages") else 1
            for part in range(repeats):
                add(name, 0 if name == "Pack_Current" else part if repeats == 4 else None)
    return frames


def best_us(action: Callable[[Frame], object], frames: list[Frame]) -> float:
    """Give the best of several rounds [us per frame]."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        for frame in frames:
            action(frame)
        best = min(best, time.perf_counter() - start)
    return 1e6 * best / len(frames)


def main() -> None:
    """Measure and print."""
    pack = load_pack("demo_96s_nmc")
    frames = scan_frames(pack)
    fast, slow, whole = SignalDecoder(pack), SignalDecoder(pack, by_cantools=True), PackDriver(pack)
    database = fast.database.file.database
    whole.health.opened(0.0)
    whole.start(0.0)

    def only_decode(frame: Frame) -> None:
        try:
            database.decode_message(frame.identifier, frame.data, decode_choices=False)
        except Exception:  # a random value that the DBC does not know
            return

    rows = {
        "driver: check, decode, store": best_us(fast.feed, frames),
        "the same, decoding by cantools": best_us(slow.feed, frames),
        "cantools decode_message alone": best_us(only_decode, frames),
        "driver with bus state, charge and scans": best_us(whole.receive, frames),
    }
    reference = rows["cantools decode_message alone"]
    print(f"{len(frames)} frames of {pack.file.name}, best of {_ROUNDS} rounds")
    for name, microseconds in rows.items():
        print(
            f"{name:42s} {microseconds:7.2f} us per frame   {microseconds / reference:5.2f} x cantools alone"
        )


if __name__ == "__main__":
    main()
