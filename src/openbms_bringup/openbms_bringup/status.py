"""What the pack is doing, in one look: the values behind the live view and the summary of ``openbms run``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["STATE_NAMES", "PackStatus", "ProcessUse", "one_line", "rows", "short_path", "summary"]

STATE_NAMES = ("INIT", "STANDBY", "PRECHARGE", "DRIVE", "CHARGE", "CONNECTED", "OPENING", "FAULT")
_NAN = math.nan


@dataclass
class PackStatus:
    """The newest of everything; NaN, None or empty where unknown."""

    soc: float = _NAN
    soc_std: float = _NAN
    cell_soc_spread: float = _NAN
    soc_quality: str = ""
    cell_voltage_spread_v: float = _NAN
    pack_voltage_v: float = _NAN
    current_a: float = _NAN
    temperature_min_degc: float = _NAN
    temperature_max_degc: float = _NAN
    bus_message: str = ""
    state: str | None = None
    states: list[str] = field(default_factory=list)
    """Every state in the order in which it was entered."""
    reason: str = ""
    contactors_closed: bool | None = None
    faults: list[str] = field(default_factory=list)
    faults_seen: dict[str, str] = field(default_factory=dict)
    """Identifier and worst level of every fault that was active or latched."""
    charge_limit_a: float = _NAN
    charge_reason: str = ""
    discharge_limit_a: float = _NAN
    discharge_reason: str = ""
    bags: list[str] = field(default_factory=list)
    """Every bag of this run; the last one is being written."""
    recorded_mb: float = _NAN
    foxglove: str | None = None
    test_time_s: float = _NAN
    test_duration_s: float = _NAN
    test_finished: bool = False
    scans: int = 0
    scans_lost: int = 0
    driver_starts: int = 0
    soc_rmse: float | None = None
    soc_mae: float | None = None
    soc_error_max: float | None = None
    soc_scans_scored: int = 0
    device_trip: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    """What nodes say on /diagnostics at level error, by node."""


@dataclass(frozen=True)
class ProcessUse:
    """What a process used."""

    name: str
    cpu_percent: float | None
    memory_mb: float | None
    starts: int


def short_path(path: str | Path | None) -> str:
    """Write a path as a person would: from the working folder, or from the home folder; – for none."""
    if path is None:
        return "–"
    path = Path(path)
    for base, sign in ((Path.cwd(), ""), (Path.home(), "~")):
        if path.is_relative_to(base):
            return str(Path(sign) / path.relative_to(base))
    return str(path)


def number(value: float | None, form: str, unit: str = "") -> str:
    """Show a number, or a dash where it is unknown."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{form}}{unit}"


def _bag(status: PackStatus) -> str:
    return short_path(status.bags[-1] if status.bags else None)


def _progress(status: PackStatus) -> str:
    if not math.isfinite(status.test_time_s) or not math.isfinite(status.test_duration_s):
        return "–"
    ended = " (finished)" if status.test_finished else ""
    return f"{status.test_time_s:.0f} of {status.test_duration_s:.0f} s{ended}"


def rows(status: PackStatus) -> list[tuple[str, str]]:
    """Give the lines of the live view as (label, text)."""
    percent = 100.0
    return [
        (
            "State",
            f"{status.state or '–'}" + (f"  ({status.reason})" if status.reason else ""),
        ),
        (
            "SoC",
            f"{number(status.soc * percent, '.2f')} ± {number(status.soc_std * percent, '.2f')} %"
            + (f"  ({status.soc_quality})" if status.soc_quality else ""),
        ),
        (
            "Cell spread",
            f"{number(status.cell_voltage_spread_v * 1e3, '.1f')} mV, "
            f"{number(status.cell_soc_spread * percent, '.2f')} % SoC",
        ),
        (
            "Pack",
            f"{number(status.pack_voltage_v, '.1f')} V, {number(status.current_a, '+.2f')} A, "
            f"{number(status.temperature_min_degc, '.1f')} … {number(status.temperature_max_degc, '.1f')} °C",
        ),
        (
            "Limits",
            f"charge {number(status.charge_limit_a, '.2f')} A ({status.charge_reason or '–'}), "
            f"discharge {number(status.discharge_limit_a, '.2f')} A ({status.discharge_reason or '–'})",
        ),
        ("Faults", ", ".join(status.faults) or ("none" if status.state else "–")),
        ("SoC error", _error(status)),
        ("Test", _progress(status)),
        ("Recording", f"{number(status.recorded_mb, '.2f')} MB in {_bag(status)}"),
        ("Live view", status.foxglove or "–"),
        *([("Bus", status.bus_message)] if status.bus_message else []),
        *(("Problem", f"{node}: {text}") for node, text in sorted(status.problems.items())),
    ]


def _error(status: PackStatus) -> str:
    if status.soc_rmse is None:
        return "– (no truth yet)"
    return (
        f"RMSE {number(status.soc_rmse * 100, '.2f')} %, "
        f"mean {number((status.soc_mae or 0) * 100, '.2f')} %, "
        f"largest {number((status.soc_error_max or 0) * 100, '.2f')} % over {status.soc_scans_scored} scans"
    )


def one_line(status: PackStatus, elapsed_s: float) -> str:
    """Give everything that matters in one line, for a log or a pipe."""
    return (
        f"[{elapsed_s:6.1f} s] {status.state or '–'} ({status.reason or '–'})"
        f" | SoC {number(status.soc * 100, '.2f')} ± {number(status.soc_std * 100, '.2f')} %"
        f" | spread {number(status.cell_voltage_spread_v * 1e3, '.1f')} mV"
        f" {number(status.cell_soc_spread * 100, '.2f')} %"
        f" | {number(status.current_a, '+.2f')} A"
        f" | {number(status.temperature_min_degc, '.1f')}…{number(status.temperature_max_degc, '.1f')} °C"
        f" | limits +{number(status.charge_limit_a, '.1f')} A ({status.charge_reason or '–'})"
        f" -{number(status.discharge_limit_a, '.1f')} A ({status.discharge_reason or '–'})"
        f" | faults {', '.join(status.faults) or 'none'}"
        f" | RMSE {number(None if status.soc_rmse is None else status.soc_rmse * 100, '.2f')} %"
        f" | test {_progress(status)}"
        f" | {number(status.recorded_mb, '.2f')} MB"
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def summary(
    status: PackStatus,
    *,
    bag_mb: float | None,
    startup_s: float | None,
    elapsed_s: float,
    processes: list[ProcessUse],
    more: dict[str, Any],
) -> dict[str, Any]:
    """Give the summary of a run; None (JSON null) where unknown.

    Returns
    -------
    dict
        ``soc_rmse, scans, scans_lost, state, faults, bag, cpu_percent, memory_mb, startup_s`` and more.
    """
    cpu = [use.cpu_percent for use in processes]
    memory = [use.memory_mb for use in processes]
    return {
        "soc_rmse": status.soc_rmse,
        "scans": status.scans,
        "scans_lost": status.scans_lost,
        "state": status.state,
        "faults": sorted(status.faults_seen),
        "bag": status.bags[-1] if status.bags else None,
        "cpu_percent": _total(cpu),
        "memory_mb": _total(memory),
        "startup_s": startup_s,
        "soc_mae": status.soc_mae,
        "soc_error_max": status.soc_error_max,
        "soc_scans_scored": status.soc_scans_scored,
        "states": status.states,
        "soc": _known(status.soc),
        "soc_std": _known(status.soc_std),
        "bags": status.bags,
        "bag_mb": bag_mb,
        "elapsed_s": round(elapsed_s, 3),
        "test_time_s": _known(status.test_time_s),
        "test_duration_s": _known(status.test_duration_s),
        "test_finished": status.test_finished,
        "driver_starts": status.driver_starts,
        "fault_levels": dict(sorted(status.faults_seen.items())),
        "device_trip": status.device_trip or None,
        "processes": {
            use.name: {"cpu_percent": use.cpu_percent, "memory_mb": use.memory_mb, "starts": use.starts}
            for use in processes
        },
        **more,
    }


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 1) if known else None
