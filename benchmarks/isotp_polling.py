"""Whether polling delays the broadcast path: a saturated bus with and without ISO-TP polls.

Frames of the demonstration pack and of other devices follow each other on a bus of 500 kbit/s without a
pause; control units by the library can-isotp answer the driver's polls in the place of frames of others, so
the bus is as full with them as without. Measured is the time from the moment at which a frame of the pack is
put onto the bus until the driver has decoded it, and when its heartbeat comes out. Rows run in turns.

    openbms-env python benchmarks/isotp_polling.py [--seconds 2] [--rounds 15]

Writes ``docs/validation/isotp-polling.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import isotp
import numpy as np
import yaml
from throughput.receiver import Receiver, over_unix_socket
from throughput.traffic import mixed

from openbms_core.resources import find_config
from openbms_drivers.bus import Bus
from openbms_drivers.frame import Frame

PAGE = Path(__file__).resolve().parents[1] / "docs" / "validation" / "isotp-polling.md"
HEARTBEAT = 0x50
_CAN = struct.Struct("=IB3x8s")
_STEP_S = 0.0005
_CELLS = 96
LOADS: dict[str, dict[str, float]] = {
    "no polls": {},
    "as a Leaf: 198 bytes twice a second, 53 bytes twice in 4 s": {"cells": 0.5, "state": 2.0},
    "hard: 198 bytes and 53 bytes of two units, ten times a second each": {"cells": 0.1, "state": 0.1},
}
"""Period [s] of each poll."""
UNITS = {"cells": (0x7E0, 0x7E8, "22 F2 00", 198), "state": (0x7E1, 0x7E9, "22 F2 01", 53)}


def write_pack(folder: Path, periods_s: dict[str, float]) -> Path:
    """Write the demonstration pack with polls: 96 redundant cell voltages and a second answer."""
    content = yaml.safe_load(find_config("packs", "demo_96s_nmc").read_text(encoding="utf-8"))
    device = content["device"]
    lines = ['VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: BMS DEV\n\n', f"BO_ {0x9FFF0001} Answer_cells: 198 DEV\n"]
    lines += [
        f' SG_ Redundant{cell:02d} : {8 * (3 + 2 * cell) + 7}|16@0+ (0.0001,0) [0|0] "V" BMS\n'
        for cell in range(_CELLS)
    ]
    lines += [f"\nBO_ {0x9FFF0002} Answer_state: 53 DEV\n", ' SG_ Limit : 31|16@0+ (0.1,0) [0|0] "A" BMS\n']
    (folder / "polls.dbc").write_text("".join(lines), encoding="cp1252")
    device["more_dbc"] = ["polls.dbc"]
    device["polls"] = [
        {
            "name": name, "request_id": UNITS[name][0], "response_id": UNITS[name][1],
            "request": UNITS[name][2], "message": f"Answer_{name}", "period_s": period_s, "pause_s": 0.0,
        }
        for name, period_s in periods_s.items()
    ]  # fmt: skip
    mapped = {
        "cells": {
            "to": "redundant_cell_voltage_v", "message": "Answer_cells", "signal": "Redundant{c:02d}",
            "repeat": {"c": [0, _CELLS - 1]}, "max_age_s": 2.0,
        },
        "state": {
            "to": "reported_charge_current_limit_a", "message": "Answer_state", "signal": "Limit",
            "max_age_s": 5.0,
        },
    }  # fmt: skip
    device["signals"] += [mapped[name] for name in periods_s]
    path = folder / "pack.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@dataclass
class Run:
    """What one run gave."""

    delays_s: np.ndarray
    heartbeats_s: list[float]
    sent: int
    lost: int
    core: float
    polls: dict[str, str] = field(default_factory=dict)


class Units:
    """The control units: requests in, frames for the bus out."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self._units = []
        for request_id, response_id, request, length in UNITS.values():
            inbox: deque[isotp.CanMessage] = deque()
            layer = isotp.TransportLayerLogic(
                rxfn=lambda timeout, inbox=inbox: inbox.popleft() if inbox else None,
                txfn=self._send,
                address=isotp.Address(isotp.AddressingMode.Normal_11bits, txid=response_id, rxid=request_id),
                params={"tx_padding": 0},
            )
            begins = bytes((0x62, *bytes.fromhex(request)[1:]))
            answer = (begins + b"\x8c\xa0" * 100)[:length]
            self._units.append((request_id, inbox, layer, answer))

    def _send(self, message: isotp.CanMessage) -> None:
        data = bytes(message.data)
        self.waiting.append(_CAN.pack(message.arbitration_id, len(data), data))

    def hear(self, identifier: int, data: bytes) -> None:
        """Take a frame of the driver."""
        for request_id, inbox, _, _ in self._units:
            if identifier == request_id:
                inbox.append(isotp.CanMessage(identifier, data=data))

    def turn(self) -> None:
        """Answer."""
        for _, _, layer, answer in self._units:
            layer.process(0.0)
            if layer.recv() is not None:
                layer.send(answer)
                layer.process(0.0)


def measure(pack: Path, seconds: float) -> Run:
    """Run the driver on a full bus."""
    traffic = mixed()
    own = [not 0x400 <= frame.identifier < 0x440 for frame in traffic.frames]
    wires = [_CAN.pack(frame.identifier, len(frame.data), frame.data) for frame in traffic.frames]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, "--receive", str(theirs.fileno()), "--pack", str(pack)]
    units, sent_s, heartbeats_s = Units(), [], []
    with ours, theirs, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(theirs.fileno(),)
    ) as process:  # fmt: skip
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the receiving process did not start")
        ours.setblocking(False)
        began_s, count = time.monotonic(), 0
        while (at_s := time.monotonic() - began_s) < seconds:
            due = int(at_s * traffic.rate_hz)
            while count < due:
                number = count % len(wires)
                wire = wires[number]
                if own[number]:
                    sent_s.append(time.monotonic())
                elif units.waiting:
                    wire = units.waiting.popleft()
                ours.setblocking(True)
                ours.send(wire)
                ours.setblocking(False)
                count += 1
            while True:
                try:
                    wire = ours.recv(128)
                except BlockingIOError:
                    break
                identifier, length, data = _CAN.unpack_from(wire)
                if identifier == HEARTBEAT:
                    heartbeats_s.append(time.monotonic())
                units.hear(identifier, data[:length])
            units.turn()
            time.sleep(_STEP_S)
        took_s = time.monotonic() - began_s
        out, _ = process.communicate(str(len(sent_s)), timeout=120)
    result = json.loads(out.strip().splitlines()[-1])
    decoded_s = np.array(result["decoded_s"])
    several = min(len(decoded_s), len(sent_s))
    return Run(
        decoded_s[:several] - np.array(sent_s[:several]), heartbeats_s, count,
        len(sent_s) - len(decoded_s), result["cpu_s"] / took_s, result["polls"],
    )  # fmt: skip


def receive(descriptor: int, pack: str) -> None:
    """Be the driver: note when each frame of the pack has been decoded."""
    over_unix_socket(descriptor)
    decoded_s: list[float] = []
    receiver = Receiver(pack, Bus("socketcan", "bench"))
    driver, take = receiver.driver, receiver.driver.receive
    plans, answers = driver.decoder.plan, driver.polled.keys if driver.polled else frozenset()

    def noting(frame: Frame, now_s: Any = None) -> Any:
        scan = take(frame, now_s)
        plan = plans(frame.key)
        if plan is not None and plan.mapped and frame.key not in answers:
            decoded_s.append(time.monotonic())
        return scan

    driver.receive = noting  # type: ignore[method-assign]
    print("ready", flush=True)
    expected = int(sys.stdin.read())
    waited_until_s = time.monotonic() + 10.0
    while len(decoded_s) < expected and time.monotonic() < waited_until_s:
        time.sleep(0.01)
    figures = receiver.finish(0)
    polls = driver.poll_reports(time.monotonic())[0]
    print(json.dumps({"decoded_s": decoded_s, "cpu_s": figures["cpu_s"], "polls": polls}), flush=True)


_TEXT = """# Polling over ISO-TP beside the broadcast path

`benchmarks/isotp_polling.py --seconds {seconds:g} --rounds {rounds}` wrote this page on {date}, {machine}, \
{cores} cores, Python {python}, all processes at the same priority ({policy}).

A bus of 500 kbit/s at 100 % load ({rate:.0f} frames/s, a quarter of them the demonstration pack's with
checksum and counter). Answers to polls stand in the place of frames of other devices, so the bus is as full
with them. The control units are the library can-isotp; the driver is its real loop in its own process, over
python-can's `socketcan` code with a Unix socket in place of the kernel's. *Delay* is from putting a frame of
the pack onto the bus to its being decoded (the sender puts what is due every 0.5 ms: frames of one step
queue up); *heartbeat* is the time between two command frames, due every 100 ms. Rows are run in turns; all
rounds together.

| Polls | Frames | Lost | Delay median ms | 99 % | 99.9 % | Longest | Heartbeat 1 to 99 % ms | Core |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
{rows}

Of the quietest round of each row, since the computer was shared:

| Polls | Delay median ms | 99 % | 99.9 % | Longest | Heartbeat 1 to 99 % ms |
|---|---:|---:|---:|---:|---:|
{quiet}

| Polls | Answers of the last round |
|---|---|
{polls}

The rounds' medians [ms], in their order: {medians}. What differs between rows by less than rounds of one row
do is not a difference.
"""


def _spread(runs: list[Run]) -> str:
    delays_ms = 1e3 * np.concatenate([run.delays_s for run in runs])
    beats_ms = 1e3 * np.concatenate([np.diff(run.heartbeats_s) for run in runs])
    return (
        f"{np.median(delays_ms):.2f} | {np.percentile(delays_ms, 99):.2f} "
        f"| {np.percentile(delays_ms, 99.9):.2f} | {delays_ms.max():.1f} "
        f"| {np.percentile(beats_ms, 1):.1f} to {np.percentile(beats_ms, 99):.1f}"
    )


def main() -> int:
    """Measure, print, write the page; 1 where a frame was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=PAGE)
    parser.add_argument("--receive", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pack", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receive is not None:
        receive(options.receive, options.pack)
        return 0
    runs: dict[str, list[Run]] = {name: [] for name in LOADS}
    with tempfile.TemporaryDirectory() as folder:
        packs = {}
        for number, (name, periods_s) in enumerate(LOADS.items()):
            place = Path(folder) / str(number)
            place.mkdir()
            packs[name] = write_pack(place, periods_s)
        for turn in range(options.rounds):
            for name, pack in packs.items():
                run = measure(pack, options.seconds)
                runs[name].append(run)
                print(
                    f"{turn + 1}/{options.rounds} {name}: median {1e3 * np.median(run.delays_s):.2f} ms, "
                    f"longest {1e3 * run.delays_s.max():.1f} ms, lost {run.lost}, {run.polls}",
                    flush=True,
                )
    rows, quiet, polls, medians = [], [], [], []
    for name, several in runs.items():
        rows.append(
            f"| {name} | {sum(run.sent for run in several)} | {sum(run.lost for run in several)} "
            f"| {_spread(several)} | {100 * np.mean([run.core for run in several]):.1f} % |"
        )
        quiet.append(f"| {name} | {_spread([min(several, key=lambda run: run.delays_s.max())])} |")
        said = "; ".join(f"{poll}: {text}" for poll, text in several[-1].polls.items())
        polls.append(f"| {name} | {said or '–'} |")
        medians.append(", ".join(f"{1e3 * np.median(run.delays_s):.2f}" for run in several))
    idle = os.sched_getscheduler(0) == os.SCHED_IDLE
    text = _TEXT.format(
        seconds=options.seconds, rounds=options.rounds, date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        machine=platform.machine(), cores=os.cpu_count(), python=platform.python_version(),
        policy="idle: any other program of the computer comes first" if idle else "ordinary",
        rate=mixed().rate_hz, rows="\n".join(rows), quiet="\n".join(quiet),
        polls="\n".join(polls), medians=" | ".join(medians),
    )  # fmt: skip
    print(text)
    options.output.write_text(text, encoding="utf-8")
    return int(any(run.lost for several in runs.values() for run in several))


if __name__ == "__main__":
    sys.exit(main())
