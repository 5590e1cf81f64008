"""`openbms can check`: what a pack file covers, what is missing, what is doubtful; without ROS."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbms_core.config_file import ConfigError

if TYPE_CHECKING:
    from openbms_core.pack import LoadedPack
    from openbms_drivers.frame import Frame
    from openbms_drivers.mapping.evidence import LogEvidence

__all__ = ["check"]

EXIT_DOUBTFUL, EXIT_INPUT = 1, 2
_ORDER = ("missing", "doubtful", "covered", "note")


def _taken(frames: Iterable[Frame], evidence: LogEvidence) -> Iterator[Frame]:
    for frame in frames:
        evidence.take(frame)
        yield frame


def _by_log(pack: LoadedPack, log: Path, channel: str | None) -> tuple[list[Any], dict[str, Any]]:
    from openbms_bringup.cli.can_log_input import refuse_wrong_bus
    from openbms_bringup.cli.can_replay import counted
    from openbms_drivers.log.can_log import CanLog
    from openbms_drivers.log_replay import LogReplay
    from openbms_drivers.mapping.evidence import LogEvidence
    from openbms_drivers.mapping.log_check import judge_log
    from openbms_drivers.mapping.log_series import ScanSeries
    from openbms_drivers.pack_driver import PackDriver

    driver = PackDriver(pack, f"log:{log.name}", listen_only=True)
    messages = list(driver.database.messages.values())
    evidence, series = LogEvidence(messages), ScanSeries()
    polled = frozenset() if driver.polled is None else driver.polled.keys
    source = CanLog(log, channel, lambda key: evidence.knows(key) or key in polled)
    run = LogReplay(driver, series.take)
    run.run(_taken(counted(source, log.name), evidence))
    if not run.polls:
        refuse_wrong_bus(evidence, log, source.channel, driver.database.path, messages)
    for key in polled:
        evidence.foreign.pop(key, None)
    findings, sign = judge_log(pack, driver.decoder, run.ledger, series, evidence)
    told = {
        "log": str(log),
        "format": source.kind,
        "channel": source.channel,
        "frames": run.frames,
        "duration_s": round(run.duration_s, 3),
        "decoded": run.decoded,
        "refused": run.refused,
        "whole": not source.cut,
        "notes": source.told(),
        "sign_of_current": None if sign is None else sign.sign,
        "sign_changes": None if sign is None else sign.changes,
        "foreign_ids": {f"{key & 0x1FFFFFFF:#x}": count for key, count in sorted(evidence.foreign.items())},
    }
    return findings, told


def check(
    pack: Annotated[str, typer.Argument(help="Pack file, also an unfinished one, or name of a shipped one")],
    log: Annotated[
        Path | None, typer.Option(help="A recorded log of the bus, best with a drive and a charge")
    ] = None,
    log_channel: Annotated[str | None, typer.Option(help="Bus of the log where it has several")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON")] = False,
) -> None:
    """Say what a pack file covers, what is missing and what is doubtful.

    Ends with 0 where all is covered, 1 where something is missing or doubtful, 2 where the input cannot be
    used.
    """
    try:
        told = _checked(pack, log, log_channel)
    except ConfigError as error:
        sys.stderr.write(f"openbms: {error}\n")
        raise typer.Exit(EXIT_INPUT) from error
    if as_json:
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    else:
        _print(told)
    if told["verdict"] != "ok":
        raise typer.Exit(EXIT_DOUBTFUL)


def _checked(name: str, log: Path | None, channel: str | None) -> dict[str, Any]:
    from openbms_core.pack_checks import check_pack
    from openbms_drivers.mapping.coverage import Finding, coverage
    from openbms_drivers.mapping.draft import load_draft
    from openbms_drivers.mapping.settle import demanded_keys
    from openbms_drivers.signal_decoder import SignalDecoder

    pack, demands = load_draft(name)
    decoder = SignalDecoder(pack)
    findings = [Finding(key, "missing", "the loader demands it") for key in demanded_keys(demands)]
    if not demands:
        try:
            check_pack(pack)
        except ConfigError as error:
            findings += [Finding("pack file", "missing", text) for text in error.problems]
    findings += coverage(pack, decoder)
    told_log: dict[str, Any] | None = None
    if log is not None:
        more, told_log = _by_log(pack, log, channel)
        findings += more
    else:
        findings.append(
            Finding(
                "log", "note", "without --log neither the sign of the current nor scales and rates are judged"
            )
        )
    bad = [finding for finding in findings if finding.verdict in ("missing", "doubtful")]
    return {
        "pack": pack.file.name,
        "file": str(pack.path),
        "dbc": str(decoder.database.path),
        "loads": not demands,
        "verdict": "ok"
        if not bad
        else "missing"
        if any(item.verdict == "missing" for item in bad)
        else "doubtful",
        "log": told_log,
        "findings": [finding.told() for finding in findings],
    }


def _print(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.width = max(console.width, 100) if console.is_terminal else 160
    title = told["pack"] if told["log"] is None else f"{told['pack']} against {told['log']['log']}"
    if told["log"] is not None:
        log = told["log"]
        console.print(
            f"{log['frames']} frames in {log['duration_s']:g} s, {log['decoded']} of the pack, "
            f"{log['refused']} refused",
            highlight=False, markup=False,
        )  # fmt: skip
        for note in log["notes"]:
            console.print(f"Note: {note}.", highlight=False, markup=False)
    table = Table("", "What", "Finding", title=title)
    styles = {"missing": "red", "doubtful": "yellow", "covered": "green", "note": ""}
    for verdict in _ORDER:
        for row in told["findings"]:
            if row["verdict"] == verdict:
                table.add_row(Text(verdict, styles[verdict]), Text(row["about"]), Text(row["text"]))
    console.print(table)
    counts = {verdict: sum(row["verdict"] == verdict for row in told["findings"]) for verdict in _ORDER}
    console.print(
        f"{counts['covered']} covered, {counts['missing']} missing, {counts['doubtful']} doubtful",
        highlight=False,
    )
