"""Frames a second and part of a core of the driver on a saturated CAN bus, frames in against frames decoded.

The bus carries as many frames as it physically can; what the driver costs is the CPU time of its bus thread,
from the transport to the closed scan. Compared with cantools decoding the same frames and nothing else.
Writes ``docs/validation/can-throughput.md``. Run: ``make bench BENCH_ARGS=can_throughput`` or
``openbms-env python benchmarks/can_throughput.py --seconds 20 --channel vcan0``.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from throughput.links import Run, kernel_can, over_kernel_can, over_socketcand, over_unix, over_virtual
from throughput.traffic import Traffic, classic, fd_long, fd_short, mixed

from openbms_core.pack import load_pack
from openbms_drivers.signal_decoder import SignalDecoder

PAGE = Path(__file__).resolve().parents[1] / "docs" / "validation" / "can-throughput.md"
_ROUNDS = 5
_TRIES = 4

Link = Callable[[Traffic, float, float], Run]


def best_us(action: Callable[[Any], object], frames: list[Any]) -> float:
    """Give the best of several rounds [us of CPU time per frame]."""
    best = float("inf")
    for _ in range(_ROUNDS):
        start = time.process_time()
        for frame in frames:
            action(frame)
        best = min(best, time.process_time() - start)
    return 1e6 * best / len(frames)


def decoding(traffic: Traffic) -> tuple[float, float]:
    """Give what cantools alone and the driver's decoder alone take for the frames of the pack [us]."""
    decoder = SignalDecoder(load_pack(traffic.pack))
    own = [frame for frame in traffic.frames if decoder.plan(frame.key) is not None]
    messages = {message.frame_id: message for message in decoder.database.messages.values()}

    def alone(frame: Any) -> None:
        try:
            messages[frame.identifier].decode(frame.data, decode_choices=False)
        except Exception:  # a random value that the DBC does not know
            return

    return best_us(alone, own), best_us(decoder.feed, own)


_TEXT = """# The driver on a saturated CAN bus

Printed by `make bench BENCH_ARGS=can_throughput` on {date}, {machine}, Python {python}, {seconds:g} s a row.

The frames follow each other without a pause. How many that are is computed from the bits of each frame,
with the stuff bits that its content really has (in brackets: with as many as there can be). CAN FD: 500
kbit/s up to the bit rate switch, 2 Mbit/s behind it. Every frame of the pack has a checksum and a counter.
*Core* is the CPU time of the driver's bus thread in its real loop (`BusLoop`: receive, date, check, decode,
charge, scans) against the time of the run; *lost* are frames of the pack that were put onto the bus and not
decoded; *most* is what one whole core would take.

| Bus at 100 % | Frames/s | Transport | Sent | Lost | Refused | Core | CPU per frame | Most frames/s |
|---|---|---|---|---|---|---|---|---|
{rows}

A frame of the pack, decoded and nothing else:

| Bus | driver (check, decode, store) | cantools `decode` (all signals, no check) | driver / cantools |
|---|---|---|---|
{decoding}

| Transport | |
|---|---|
| socketcan code | python-can's `socketcan` (poll, `recvmsg`, the kernel's time stamps) over a Unix socket \
in place of the kernel's CAN socket; the sender is another process |
| socketcand | the demonstration's hub in a third process, TCP; carries no CAN FD |
| virtual | python-can's bus within one process: the sender's thread competes for the interpreter |
| SocketCAN | the kernel's (`python benchmarks/can_throughput.py --channel vcan0`) |

{left_out}
"""


def main() -> int:
    """Measure, print, write the page; 1 where a frame was lost or half a core was not enough."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--channel", default="vcan0", help="CAN interface of the kernel, where there is one")
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args()
    links: dict[str, Link] = {
        "socketcan code": over_unix,
        "socketcand": over_socketcand,
        "virtual": over_virtual,
    }
    reason = kernel_can(options.channel)
    if reason:
        left_out = f"SocketCAN itself was not measured: {options.channel} cannot be used here ({reason})."
    else:
        links["SocketCAN"] = over_kernel_can(options.channel)
        left_out = f"SocketCAN: {options.channel}."
    rows, alone, failed = [], [], False
    with tempfile.TemporaryDirectory() as folder:
        for traffic in (classic(), mixed(), fd_short(Path(folder)), fd_long(Path(folder))):
            alone_us, decoder_us = decoding(traffic)
            print(f"{traffic.name}: {traffic.rate_hz:.0f} frames/s ({traffic.worst_rate_hz:.0f})")
            for name, link in links.items():
                if traffic.fd and name == "socketcand":
                    continue
                for _ in range(_TRIES):
                    run = link(traffic, traffic.rate_hz, options.seconds)
                    if run.sent > 0.995 * options.seconds * traffic.rate_hz:
                        break  # else the sender was held up, and the bus was not full
                failed |= bool(run.lost) or run.core >= 0.5
                row = (
                    f"| {traffic.name} | {traffic.rate_hz:.0f} ({traffic.worst_rate_hz:.0f}) | {name} "
                    f"| {run.sent} | {run.lost} | {run.rejected} | {100 * run.core:.1f} % "
                    f"| {run.us_per_frame:.1f} µs | {1e6 / run.us_per_frame:.0f} |"
                )
                rows.append(row)
                print(f"  {name:15s} lost {run.lost}, {100 * run.core:.1f} % of a core", flush=True)
            alone.append(
                f"| {traffic.name} | {decoder_us:.1f} µs | {alone_us:.1f} µs | {decoder_us / alone_us:.2f} |"
            )
            print(f"  a frame of the pack: decoder {decoder_us:.1f} us, cantools {alone_us:.1f} us")
    text = _TEXT.format(
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}", machine=platform.machine(),
        python=platform.python_version(), seconds=options.seconds, rows="\n".join(rows),
        decoding="\n".join(alone), left_out=left_out,
    )  # fmt: skip
    options.output.write_text(text, encoding="utf-8")
    print(f"written: {options.output.name}")
    print("A FRAME WAS LOST, OR HALF A CORE WAS NOT ENOUGH" if failed else "nothing lost, below half a core")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
