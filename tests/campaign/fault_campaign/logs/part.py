"""Play every recording through the monitor, and hold what comes up against its numbers."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fault_campaign.logs.packs import can_content, loaded
from fault_campaign.logs.sets import SETS, RecordedSet, data_folder
from fault_campaign.logs.stream import Recording, frames, recordings
from openbms_control.safety.monitor import Decision, SafetyMonitor
from openbms_control.safety.record import FaultRecord
from openbms_core.faults import FAULT_BY_ID, limit_value
from openbms_core.pack import LoadedPack
from openbms_core.types import FaultState, PackMeasurement, PowerLimits, State
from openbms_drivers.pack_driver import PackDriver

__all__ = ["logs_part", "play_file"]

_GENEROUS = PowerLimits(
    0.0,
    0,
    np.array([10.0]),
    np.array([1e3]),
    np.zeros(1),
    np.array([1e3]),
    np.zeros(1),
    np.array([1e6]),
    np.array([1e6]),
    ["campaign"],
    np.zeros(1, np.int32),
    ["campaign"],
    np.zeros(1, np.int32),
    1e6,
)


@dataclass
class _Heard:
    """What the monitor said of a recording."""

    raised: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """Times and values at which each row became active."""
    active: set[str] = field(default_factory=set)

    def take(self, at_s: float, decision: Decision, monitor: SafetyMonitor) -> None:
        active = {entry.row.id for entry in decision.faults if entry.state == FaultState.ACTIVE}
        for entry in decision.faults:
            if entry.row.id in active - self.active:
                self.raised[entry.row.id].append((at_s, entry.value))
        self.active = active
        # a person who knows that it is a recording clears, and it goes on
        for entry in decision.faults:
            if entry.state == FaultState.LATCHED:
                monitor.clear([entry.row.id], at_s)


def _watch(pack: LoadedPack) -> SafetyMonitor:
    monitor = SafetyMonitor(pack, FaultRecord(pack.file.serial))
    monitor.take_config_hash(pack.config_hash)
    return monitor


def _step(monitor: SafetyMonitor, heard: _Heard, at_s: float, scan: PackMeasurement) -> None:
    monitor.take_power_limits(_GENEROUS, at_s)
    decision = monitor.step(scan, at_s, scan.stamp_s)
    heard.take(at_s, decision, monitor)
    if decision.status.state is State.STANDBY:
        monitor.request(State.CONNECTED, at_s)


# ---- what the numbers say -----------------------------------------------------------------------------


def _holds(row: str, recording: Recording, pack: LoadedPack) -> NDArray[np.bool_] | None:
    """Tell in which samples a row's condition held by the numbers of the recording; None: no number tells."""
    fault = FAULT_BY_ID[row]
    limit, band = limit_value(fault, pack.file), pack.file.limits.current_deadband_a
    current, cells, degrees = recording.current_a, recording.cells_v, recording.sensors_degc
    charging, discharging = current > band, current < -band
    conditions: dict[str, Callable[[], NDArray[np.bool_]]] = {
        "CELL_OVER_VOLTAGE": lambda: (cells > limit).any(axis=1),
        "CELL_UNDER_VOLTAGE": lambda: (cells < limit).any(axis=1),
        "DEEP_DISCHARGE": lambda: (cells < limit).any(axis=1),
        "OVER_CURRENT_CHARGE": lambda: current > limit,
        "OVER_CURRENT_DISCHARGE": lambda: -current > limit,
        "OVER_TEMPERATURE_CHARGE": lambda: charging & (degrees > limit).any(axis=1),
        "OVER_TEMPERATURE_DISCHARGE": lambda: ~charging & (degrees > limit).any(axis=1),
        "UNDER_TEMPERATURE_CHARGE": lambda: charging & (degrees < limit).any(axis=1),
        "UNDER_TEMPERATURE_DISCHARGE": lambda: discharging & (degrees < limit).any(axis=1),
        "STRING_VOLTAGE_MISMATCH": lambda: np.abs(recording.string_v - cells.sum(axis=1)) > limit,
        "CELL_VOLTAGE_SPREAD": lambda: (
            np.abs(cells - np.median(cells, axis=1, keepdims=True)).max(axis=1) > limit
        ),
    }
    condition = conditions.get(fault.name)
    return None if condition is None else np.asarray(condition(), bool)


def _explained(row: str, at_s: float, recording: Recording, pack: LoadedPack) -> bool:
    """Tell whether the condition really held in two successive samples before the row came up."""
    holds = _holds(row, recording, pack)
    if holds is None:
        return False
    timing = FAULT_BY_ID[row].timing
    before = recording.time_s <= at_s + 1e-6
    # the debounce may have run over several short times, and the delay has passed since
    recent = before & (recording.time_s >= at_s - 20.0 * (timing.debounce_s + timing.delay_s) - 200.0)
    pairs = holds[:-1] & holds[1:] & recent[1:]
    return bool(pairs.any()) or (timing.debounce_s == 0.0 and bool((holds & recent).any()))


# ---- files --------------------------------------------------------------------------------------------


def play_file(number: int, path: Path, most: int | None = None) -> dict[str, Any]:
    """Play one file.

    Parameters
    ----------
    number : int
        Of its set.
    path : Path
    most : int, optional
        Samples (frames of a bus) at most.

    Returns
    -------
    dict
        File, hours, samples, rows that came up with how often and the extreme value, and false alarms.
    """
    recorded = SETS[number]
    result: dict[str, Any] = {"set": recorded.name, "file": path.name, "hours": 0.0, "samples": 0}
    rows: dict[str, list[float]] = defaultdict(list)
    alarms: list[dict[str, Any]] = []
    if recorded.kind == "can":
        _play_bus(recorded, path, most, result, rows, alarms)
    else:
        _play_samples(recorded, path, most, result, rows, alarms)
    result["rows"] = {
        row: {"times": len(values), "limit": _limit(recorded, row), "extreme": _extreme(row, values)}
        for row, values in sorted(rows.items())
    }
    result["false_alarms"] = alarms
    return result


def _limit(recorded: RecordedSet, row: str) -> float | None:
    if recorded.kind == "can":
        return None
    value = limit_value(FAULT_BY_ID[row], loaded(recorded).file)
    return round(value, 4) if np.isfinite(value) else None


def _extreme(row: str, values: list[float]) -> float | None:
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return None
    return round(min(finite) if FAULT_BY_ID[row].comparison == "below" else max(finite), 4)


def _play_samples(
    recorded: RecordedSet, path: Path, most: int | None, result: dict[str, Any], rows: Any, alarms: Any
) -> None:
    pack = loaded(recorded)
    for recording in recordings(recorded, path):
        monitor, heard = _watch(pack), _Heard()
        for at_s, scan in recording.scans():
            _step(monitor, heard, at_s, scan)
            result["samples"] += 1
            if most is not None and result["samples"] >= most:
                break
        result["hours"] += recording.hours
        for row, times in heard.raised.items():
            rows[row] += [value for _, value in times]
            if not (FAULT_BY_ID[row].latched or FAULT_BY_ID[row].opens):
                continue
            alarms += [
                {"row": row, "at_s": round(at_s, 1), "value": value}
                for at_s, value in times
                if not _explained(row, at_s, recording, pack)
            ]
        if most is not None and result["samples"] >= most:
            return


def _play_bus(
    recorded: RecordedSet, path: Path, most: int | None, result: dict[str, Any], rows: Any, alarms: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pack = can_content(recorded, Path(folder), data_folder() / "can" / "EV-can_ZE1.dbc")
        driver = PackDriver(pack)
    monitor, heard = _watch(pack), _Heard()
    first_s = last_s = None
    broken_s: list[float] = []
    for count, frame in enumerate(frames(path)):
        if first_s is None:
            first_s = frame.monotonic_s
            driver.health.opened(first_s)
            driver.start(first_s)
        last_s = frame.monotonic_s
        # "Inter Lock connected" of 0x1DB, read without any DBC: a car that wakes up says no for some tenths
        if frame.identifier == 0x1DB and not frame.data[3] & 0x08:
            broken_s.append(last_s)
        for scan in (driver.tick(frame.monotonic_s, frame.stamp_s), driver.receive(frame)):
            if scan is not None:
                _step(monitor, heard, frame.monotonic_s, scan)
                result["samples"] += 1
        if most is not None and count >= most:
            break
    result["hours"] = 0.0 if first_s is None or last_s is None else (last_s - first_s) / 3600.0
    for row, times in heard.raised.items():
        rows[row] += [value for _, value in times]
        alarms += [
            {"row": row, "at_s": round(at_s - (first_s or 0.0), 2), "value": value}
            for at_s, value in times
            if (FAULT_BY_ID[row].latched or FAULT_BY_ID[row].opens)
            and not (row == "INTERLOCK_OPEN" and any(at_s - 0.5 <= when <= at_s for when in broken_s))
        ]


# ---- the part -----------------------------------------------------------------------------------------


def logs_part(
    jobs: int, progress: Callable[[float], None], total: Callable[[float], None]
) -> dict[str, Any] | None:
    """Play every file that is here; None where none is.

    Parameters
    ----------
    jobs : int
        Processes.
    progress : callable
        Told 1 for each file.
    total : callable
        Told the number of files.
    """
    work = [(number, path) for number, recorded in enumerate(SETS) for path in recorded.files()]
    if not work:
        return None
    total(len(work))
    work.sort(key=lambda item: -item[1].stat().st_size)
    files: list[dict[str, Any]] = []
    with ProcessPoolExecutor(max(jobs, 1), mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(play_file, *item) for item in work]):
            files.append(done.result())
            progress(1.0)
    files.sort(key=lambda row: (row["set"], row["file"]))
    return {
        "files": len(files),
        "hours": round(sum(row["hours"] for row in files), 1),
        "samples": sum(row["samples"] for row in files),
        "false_alarms": sum(len(row["false_alarms"]) for row in files),
        "sets": [
            _set_line(recorded, [row for row in files if row["set"] == recorded.name]) for recorded in SETS
        ],
        "cases": files,
    }


def _set_line(recorded: RecordedSet, files: list[dict[str, Any]]) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    alarms: Counter[str] = Counter()
    for file in files:
        alarms.update(alarm["row"] for alarm in file["false_alarms"])
        for row, told in file["rows"].items():
            rows[row].append(told)
    texts = []
    for row, told in sorted(rows.items()):
        fault = FAULT_BY_ID[row]
        if not (fault.latched or fault.opens):
            continue
        extremes = [item["extreme"] for item in told if item["extreme"] is not None]
        worst = (min if fault.comparison == "below" else max)(extremes) if extremes else None
        number = (
            f": {worst:g} {fault.unit} against {told[0]['limit']:g}"
            if worst is not None and told[0]["limit"] is not None
            else ""
        )
        texts.append(f"`{row}` in {len(told)} files{number}")
    return {
        "set": recorded.name,
        "files": len(files),
        "hours": round(sum(file["hours"] for file in files), 1),
        "limits_from": recorded.limits.source,
        "explained": "; ".join(texts),
        "false_alarms": ", ".join(f"`{row}` {count}×" for row, count in sorted(alarms.items())) or "0",
    }
