"""`openbms can replay`: a recorded CAN log through driver and safety core, or onto a bus; without ROS."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbms_core.config_file import ConfigError

if TYPE_CHECKING:
    from openbms_core.pack import LoadedPack
    from openbms_core.types import PackMeasurement
    from openbms_drivers.frame import Frame

__all__ = ["counted", "replay"]

EXIT_NOTHING, EXIT_INPUT = 1, 2
_SPEEDS = "1, 10 (any number above 0) or max"
_PROGRESS_FRAMES = 5_000
_SHOWN = 5
"""Identifiers that a sentence names."""


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ConfigError(f"--speed is '{text}': give {_SPEEDS}.")
    return value


def _check_output(path: Path) -> None:
    """Refuse before the run what could not be written after it."""
    if path.suffix.lower() != ".parquet":
        raise ConfigError(f"-o {path}: the type is not known: give a .parquet file.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"-o {path}: there is no folder {path.parent}: make it, or name another.")


def counted(frames: Any, name: str) -> Iterator[Frame]:
    """Give the frames, and say on a terminal how many there were."""
    if not sys.stderr.isatty():
        yield from frames
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        for count, frame in enumerate(frames, 1):
            if not count % _PROGRESS_FRAMES:
                text = f"{name}: {count} frames, {frame.monotonic_s:.1f} s of the log"
                bar.update(task, description=text)
            yield frame


def _counted_scans(scans: Any, name: str) -> Any:
    """The same for the scans of a bag."""
    if not sys.stderr.isatty():
        return scans
    from rich.console import Console
    from rich.progress import track

    return track(scans, f"{name}: scans", console=Console(stderr=True), transient=True)


class _Judge:
    """What becomes of the scans of a replay: verdicts, a table, and, where asked for, the pace of the log."""

    def __init__(self, pack: LoadedPack, log: Path, output: Path | None, speed: float | None) -> None:
        from openbms_bringup.log_replay.table import ScanTable
        from openbms_bringup.log_replay.verdicts import LogVerdicts

        self.verdicts = LogVerdicts(pack)
        told = {"log": log.name, "pack": pack.file.name}
        self._table = None if output is None else ScanTable(output, pack, told)
        self._speed = speed
        self._began = (time.monotonic(), 0.0)
        self._paced = False

    def take(self, scan: PackMeasurement, at_s: float) -> None:
        """Take a scan that was closed then."""
        if self._speed is not None:
            if not self._paced:
                self._paced, self._began = True, (time.monotonic(), at_s)
            due_s = self._began[0] + (at_s - self._began[1]) / self._speed
            time.sleep(max(0.0, due_s - time.monotonic()))
        decision = self.verdicts.step(scan, at_s)
        if self._table is not None:
            self._table.add(scan, at_s, decision)

    def __enter__(self) -> _Judge:
        return self

    def __exit__(self, *raised: Any) -> None:
        if self._table is not None:
            self._table.__exit__(*raised)


def _through_driver(
    log_path: Path, pack: LoadedPack, channel: str | None, output: Path | None, speed: float | None
) -> dict[str, Any]:
    from openbms_drivers.log.can_log import CanLog
    from openbms_drivers.log_replay import LogReplay
    from openbms_drivers.pack_driver import PackDriver

    driver = PackDriver(pack, f"log:{log_path.name}", listen_only=True)
    log = CanLog(log_path, channel, _knower(driver.decoder))
    with _Judge(pack, log_path, output, speed) as judge:
        run = LogReplay(driver, judge.take)
        run.run(counted(log, log_path.name))
    told = {
        "log": str(log_path),
        "format": log.kind,
        "pack": pack.file.name,
        "began": log.began,
        "channel": log.channel,
        "channels": dict(sorted(log.channels.items())),
        "whole": not log.cut,
        "notes": _doubts(run) + log.told(),
    }
    return {**told, **_outcome(run, judge, output)}


def _bag_through_driver(
    path: Path, pack: LoadedPack, namespace: str | None, output: Path | None, speed: float | None
) -> dict[str, Any]:
    from openbms_bringup.log_replay.recorded import Comparison
    from openbms_drivers.log.bag import Bag
    from openbms_drivers.log_replay import LogReplay
    from openbms_drivers.pack_driver import PackDriver

    polled = PackDriver(pack, listen_only=True).polled
    bag = Bag(path, namespace, frozenset() if polled is None else polled.keys)
    compared, began_s = Comparison(), 0.0
    run: LogReplay | None = None
    measurement: Any = None
    with _Judge(pack, path, output, speed) as judge:

        def on_scan(scan: PackMeasurement, at_s: float) -> None:
            if measurement is not None:
                compared.take(scan, measurement)
            judge.take(scan, at_s - began_s)

        for recorded in _counted_scans(bag.scans(), path.name):
            if run is None:
                # by the name of its bus, since that stands in its sentences
                driver = PackDriver(pack, recorded.bus, simulated=recorded.by_stamp, listen_only=True)
                run, began_s = LogReplay(driver, on_scan), recorded.closed_s
            measurement = recorded.measurement
            run.feed_recorded(recorded.frames, recorded.closed_s, recorded.closed_stamp_s)
    bag.close()
    if run is None:
        raise ConfigError(f"{path}: {bag.topic} of the bag has no message: nothing was recorded.")
    notes = _doubts(run)
    if not compared.scans:
        notes.append("the bag has no measurement, so nothing could be compared with what was published then")
    told = {
        "log": str(path),
        "format": "bag",
        "pack": pack.file.name,
        "began": None,
        "channel": bag.topic,
        "channels": dict(sorted(bag.topics.items())),
        "whole": True,
        "notes": notes,
        "recorded": compared.told(),
    }
    return {**told, **_outcome(run, judge, output)}


def _outcome(run: Any, judge: _Judge, output: Path | None) -> dict[str, Any]:
    return {
        **run.summary(),
        "verdicts": judge.verdicts.summary(),
        "digest_of_scans": run.digest.text(),
        "digest_of_verdicts": judge.verdicts.digest.text(),
        "written": None if output is None else str(output),
    }


def _knower(decoder: Any) -> Any:
    """Give what tells whether a frame belongs to the pack."""

    def knows(key: int) -> bool:
        plan = decoder.plan(key)
        return plan is not None and plan.mapped

    return knows


def _doubts(run: Any) -> list[str]:
    """Say what a person should look at."""
    notes = []
    if not run.decoded and not run.refused and not run.answers:
        known = "but the DBC has others of them" if run.other else "nor has the DBC any other of them"
        # answers to polls have identifiers of their own, which no frame on the bus has
        answers = {poll.message for poll in run.driver.pack.file.device.polls}
        wanted = _named(
            plan.message.frame_id for plan in run.driver.decoder.plans if plan.name not in answers
        )
        there = _named(key & 0x1FFF_FFFF for key, _ in run.ledger.foreign.most_common())
        notes.append(
            f"no frame of the log is one that the pack file maps ({wanted}), {known}"
            + (f" (the log has {there})" if there else "")
            + ": wrong pack file, wrong bus of the vehicle, or a log of something else"
        )
        return notes
    if run.refused > 0.01 * (run.refused + run.decoded):
        notes.append(
            f"{run.refused} of {run.refused + run.decoded} frames of the pack were refused (length, checksum "
            "or counter): see the messages below, and device.integrity of the pack file"
        )
    never, came = run.ledger.never(), run.ledger.signals()
    if len(never) > len(came):
        notes.append(
            f"{len(never)} of the {len(never) + len(came)} mapped signals never came: not all of the pack is "
            "on this bus of the log, or it is another pack's"
        )
    return notes


def _named(identifiers: Iterable[int]) -> str:
    """Name the first few identifiers."""
    names = [f"0x{identifier:X}" for identifier in dict.fromkeys(identifiers)]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _print(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.width = max(console.width, 100) if console.is_terminal else 160

    def number(value: Any, digits: int = 3) -> str:
        return "–" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value)

    head = Table(title=f"{told['log']} ({told['format']}) with {told['pack']}", show_header=False)
    for key in (
        "began", "channel", "duration_s", "frames", "decoded", "refused", "of_polls", "answers_to_polls",
        "not_mapped", "foreign",
        "error_frames", "remote_frames", "bad_values", "scans",
    ):  # fmt: skip
        head.add_row(key.replace("_", " "), str(told[key] if told[key] is not None else "not dated"))
    console.print(head)
    for note in told["notes"]:
        console.print(f"Note: {note}.", highlight=False, markup=False)
    messages = Table("Message", "Id", "Frames", "Hz", "Longest gap [s]", "at [s]", "Refused")
    for row in told["messages"]:
        messages.add_row(
            row["name"], row["id"], str(row["count"]), number(row["rate_hz"], 2),
            number(row["longest_gap_s"]), number(row["longest_gap_at_s"]), str(row["refused"]),
        )  # fmt: skip
    console.print(messages)
    signals = Table(
        "Signal", "From", "Values", "Hz", "Longest gap [s]", "n/a", "Implausible", "First", "Last"
    )
    for row in told["signals"]:
        signals.add_row(
            row["name"], f"{row['message']}.{row['signal']}", str(row["count"]), number(row["rate_hz"], 2),
            number(row["longest_gap_s"]), str(row["not_available"]), str(row["implausible"]),
            number(row["first"], 4), number(row["last"], 4),
        )  # fmt: skip
    console.print(signals)
    if told["never_received"]:
        console.print(f"Never received: {', '.join(told['never_received'])}", highlight=False)
    if told["foreign_ids"]:
        shown = ", ".join(f"{name} {count}×" for name, count in told["foreign_ids"].items())
        console.print(f"Not in the DBC: {shown}", highlight=False)
    verdicts = Table("Time [s]", "Verdict", "Value", title="Safety monitor")
    for event in told["verdicts"]["events"]:
        if event["what"] == "state":
            text, value = f"state {event['state']}: {event['why']}", ""
        else:
            text = f"{event['fault']} {event['state']}"
            value = "" if event.get("value") is None else f"{event['value']:g} {event['unit']}"
        verdicts.add_row(f"{event['time_s']:.3f}", text, value)
    console.print(verdicts)
    if "recorded" in told:
        told = {**told, **told["recorded"]}
        console.print(
            f"Against what was published: {told['identical']} of {told['recorded']['scans']} scans are the "
            f"same bit by bit, all of them from number {told['identical_since']} on.",
            highlight=False,
        )
    console.print(f"scans     sha256 {told['digest_of_scans']}", highlight=False)
    console.print(f"verdicts  sha256 {told['digest_of_verdicts']}", highlight=False)


def _onto_bus(
    log_path: Path, pack: LoadedPack | None, channel: str | None, speed: float | None, where: dict[str, Any]
) -> dict[str, Any]:
    from openbms_bringup.log_replay.onto_bus import send_log
    from openbms_drivers.bus import Bus
    from openbms_drivers.log.can_log import CanLog

    knows = None
    rate, fd = 500_000, where["interface"] != "socketcand"
    if pack is not None:
        from openbms_drivers.signal_decoder import SignalDecoder

        knows = _knower(SignalDecoder(pack))
        rate = pack.file.device.bitrate_bit_per_s

    log = CanLog(log_path, channel, knows)
    bus = Bus(where["interface"], where["channel"], where["host"], where["port"], rate, fd=fd)
    sent = send_log(counted(log, log_path.name), bus, speed)
    return {
        "log": str(log_path),
        "format": log.kind,
        "channel": log.channel,
        "notes": log.told(),
        "frames_sent": sent.frames,
        "frames_left_out": sent.left_out,
        "log_s": round(sent.log_s, 6),
        "took_s": round(sent.took_s, 3),
        "latest_s": round(sent.latest_s, 6),
    }


def replay(
    log: Annotated[
        Path, typer.Argument(help="candump, ASC, BLF, MF4, TRC or CSV (also .gz), or a bag with can_rx")
    ],
    pack: Annotated[
        str | None, typer.Option(help="Pack file, or name of a shipped one; needed but for a bus")
    ] = None,
    speed: Annotated[str, typer.Option(help="1: as recorded, 10: ten times as fast, max")] = "",
    log_channel: Annotated[
        str | None,
        typer.Option(
            help="Bus of the log where it has several; default: the one with most of the pack's frames"
        ),
    ] = None,
    interface: Annotated[
        str | None, typer.Option(help="Put the log onto a bus: interface of python-can, such as socketcan")
    ] = None,
    channel: Annotated[str, typer.Option(help="That bus, such as vcan0")] = "can0",
    host: Annotated[str, typer.Option(help="Computer of a socketcand server")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of a socketcand server")] = 29536,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the scans to this .parquet file")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON")] = False,
) -> None:
    """Replay a recorded CAN log: through the driver and the safety core, or onto a bus."""
    from openbms_core.pack import load_pack
    from openbms_core.pack_checks import check_pack
    from openbms_core.resources import find_config
    from openbms_drivers.log.bag import is_bag

    try:
        loaded = None
        if pack is not None:
            loaded = load_pack(find_config("packs", pack))
            check_pack(loaded)
        if interface is not None:
            if is_bag(log):
                raise ConfigError(
                    f"{log}: a bag cannot be put onto a bus; name a CAN log, or leave out --interface."
                )
            if output is not None:
                raise ConfigError(
                    "-o and --interface: a log that goes onto a bus gives no table; leave one out."
                )
            where = {"interface": interface, "channel": channel, "host": host, "port": port}
            told = _onto_bus(log, loaded, log_channel, _speed(speed or "1"), where)
        else:
            if loaded is None:
                raise ConfigError("--pack is missing: name the pack file by which the log is read.")
            if output is not None:
                _check_output(output)
            through = _bag_through_driver if is_bag(log) else _through_driver
            told = through(log, loaded, log_channel, output, _speed(speed or "max"))
    except ConfigError as error:
        sys.stderr.write(f"openbms: {error}\n")
        raise typer.Exit(EXIT_INPUT) from error
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    elif interface is not None:
        for key, value in told.items():
            sys.stdout.write(f"{key}: {value}\n")
    else:
        _print(told)
    if interface is None and not told["decoded"] and not told["answers_to_polls"]:
        sys.stderr.write(f"openbms: {log}: {told['notes'][0]}.\n")
        raise typer.Exit(EXIT_NOTHING)
