"""Which cell is commissioned from which tests, and which cycles it is then judged on.

A cell is never judged on a test that it was commissioned from.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["GROUPS", "MONTH", "Group", "capacities", "files_of"]

LG, PANASONIC, A123 = "soc/lg_hg2/lg_hg2__", "soc/panasonic_18650pf/pan18650pf__", "soc/a123_26650_lfp/a123__"
PLACES = ("25degC", "10degC", "0degC", "n10degC")
A123_PLACES = ("P25", "P05", "N15")


@dataclass(frozen=True)
class Group:
    """One cell, commissioned in one way.

    Attributes
    ----------
    key, title : str
    chemistry : str
    rated_ah : float
    judged : dict of str to list of str
        Patterns below the folder of the data, by place (temperature).
    ocv, hppc, dynamic : list of str
        Patterns of the tests that it is fitted to; none at all: the shipped file ``shipped``.
    shipped : str
        Name of a cell file of the house.
    capacity_ah : float, optional
        Present capacity; absent: the block's from the manifest.
    left_out : bool
        The tests named ``dynamic`` of the place that is judged are left out of its fit (one fit a place).
    targets : dict of str to float
        Target of the RMSE [% SoC] by place.
    """

    key: str
    title: str
    chemistry: str
    rated_ah: float
    judged: dict[str, list[str]]
    ocv: list[str] = field(default_factory=list)
    hppc: list[str] = field(default_factory=list)
    dynamic: list[str] = field(default_factory=list)
    shipped: str = ""
    capacity_ah: float | None = None
    left_out: bool = False
    targets: dict[str, float] = field(default_factory=dict)


def _each(start: str, places: tuple[str, ...], *tests: str) -> dict[str, list[str]]:
    return {place: [f"{start}{place}__{test}.parquet" for test in tests] for place in places}


def _all(start: str, places: tuple[str, ...], *tests: str) -> list[str]:
    return [pattern for patterns in _each(start, places, *tests).values() for pattern in patterns]


_LG_TARGETS = {"25degC": 1.0, "10degC": 1.0, "0degC": 1.5, "n10degC": 1.5}
_PANASONIC_TARGETS = {"25degC": 1.5, "10degC": 1.5, "0degC": 1.5, "n10degC": 3.0}

GROUPS = [
    Group(
        "lg-shipped", "LG HG2 (NMC), shipped cell file (C/20, HPPC, 1C)", "nmc", 3.0,
        _each(LG, PLACES, "Mixed[1-8]", "UDDS"), shipped="lg_hg2", capacity_ah=2.778, targets=_LG_TARGETS,
    ),
    Group(
        "lg-10hz", "LG HG2 (NMC), shipped cell file, a cycle at 10 Hz", "nmc", 3.0,
        _each(LG, ("25degC", "n10degC"), "Mixed3__10Hz"), shipped="lg_hg2", capacity_ah=2.778,
        targets=_LG_TARGETS,
    ),
    Group(
        "lg-fit", "LG HG2 (NMC), `openbms fit` from C/20, HPPC and 2 cycles a temperature", "nmc", 3.0,
        _each(LG, PLACES, "Mixed[3-8]", "UDDS"), ocv=_all(LG, PLACES, "C20"), hppc=_all(LG, PLACES, "HPPC"),
        dynamic=_all(LG, PLACES, "Mixed[12]"), capacity_ah=2.778, targets=_LG_TARGETS,
    ),
    Group(
        "lg-tests", "LG HG2 (NMC), `openbms fit` from C/20 and HPPC", "nmc", 3.0,
        _each(LG, PLACES, "Mixed[1-8]", "UDDS"), ocv=_all(LG, PLACES, "C20"), hppc=_all(LG, PLACES, "HPPC"),
        capacity_ah=2.778, targets=_LG_TARGETS,
    ),
    Group(
        "lg-cold-unseen", "LG HG2 (NMC), `openbms fit` without a test at the temperature judged", "nmc", 3.0,
        _each(LG, PLACES, "Mixed[1-8]", "UDDS"), ocv=_all(LG, PLACES, "C20"), hppc=_all(LG, PLACES, "HPPC"),
        dynamic=_all(LG, PLACES, "Mixed[12]"), capacity_ah=2.778, left_out=True, targets=_LG_TARGETS,
    ),
    Group(
        "lg-ocv", "LG HG2 (NMC), from its C/20 test at 25 °C alone", "nmc", 3.0,
        _each(LG, PLACES, "Mixed[1-8]", "UDDS"), ocv=_all(LG, ("25degC",), "C20"), capacity_ah=2.778,
        targets=dict.fromkeys(PLACES, 3.0),
    ),
    Group(
        "panasonic-fit", "Panasonic 18650PF (NCA), `openbms fit` from C/20, HPPC and 1 cycle a temperature",
        "nca", 2.9, _each(PANASONIC, PLACES, "Cycle_[2-4]", "NN"), ocv=_all(PANASONIC, ("25degC",), "C20"),
        hppc=_all(PANASONIC, PLACES, "HPPC"), dynamic=_all(PANASONIC, PLACES, "Cycle_1"),
        targets=_PANASONIC_TARGETS,
    ),
    Group(
        "panasonic-tests", "Panasonic 18650PF (NCA), `openbms fit` from C/20 and HPPC", "nca", 2.9,
        _each(PANASONIC, PLACES, "Cycle_[1-4]", "NN"), ocv=_all(PANASONIC, ("25degC",), "C20"),
        hppc=_all(PANASONIC, PLACES, "HPPC"), targets=_PANASONIC_TARGETS,
    ),
    Group(
        "panasonic-ocv", "Panasonic 18650PF (NCA), from its C/20 test at 25 °C alone", "nca", 2.9,
        _each(PANASONIC, PLACES, "Cycle_[1-4]", "NN"), ocv=_all(PANASONIC, ("25degC",), "C20"),
        targets=dict.fromkeys(PLACES, 3.0),
    ),
    Group(
        "a123-fit", "A123 26650 (LFP), `openbms fit` from OCV tests and cycles elsewhere", "lfp", 2.3,
        _each(A123, A123_PLACES, "DYN_script1"), ocv=[f"{A123}*OCV_script[1-4].parquet"],
        dynamic=_all(A123, A123_PLACES, "DYN_script1"), left_out=True,
        targets=dict.fromkeys(A123_PLACES, 3.0),
    ),
    Group(
        "a123-ocv", "A123 26650 (LFP), from its OCV tests alone", "lfp", 2.3,
        _each(A123, A123_PLACES, "DYN_script1"), ocv=[f"{A123}*OCV_script[1-4].parquet"],
        targets=dict.fromkeys(A123_PLACES, 5.0),
    ),
]  # fmt: skip

MONTH = Group(
    "a123-month", "A123 26650 (LFP)", "lfp", 2.3, {}, ocv=[f"{A123}*OCV_script[1-4].parquet"],
    dynamic=[f"{A123}P25__DYN_script1.parquet"],
)  # fmt: skip
"""The LFP cell of the simulated month."""


def files_of(data: Path, patterns: list[str]) -> list[Path]:
    """Give the files of some patterns, without repetition, in order."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(sorted(data.glob(pattern))))
    return list(found)


def capacities(data: Path) -> dict[str, float]:
    """Give the present capacity [Ah] of every file of the manifest."""
    with (data / "manifest.csv").open(encoding="utf-8") as lines:
        return {
            row["file"]: float(row["cap_block_ah"] or row["cap_ref_ah"] or "nan")
            for row in csv.DictReader(lines)
            if row["file"].startswith("soc/")
        }
