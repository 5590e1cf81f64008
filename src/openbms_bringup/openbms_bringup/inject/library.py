"""The fault library: all cases of ``config/faults``, and which rows of the fault table they provoke."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable
from pathlib import Path

from openbms_bringup.inject.case import Case, FaultFile
from openbms_core.config_file import ConfigError, load_config
from openbms_core.resources import config_folder

__all__ = ["drawn", "find_case", "load_library", "load_library_file", "rows_provoked"]


def load_library_file(path: Path) -> FaultFile:
    """Load one file of the library.

    Raises
    ------
    ConfigError
        With one line per problem: file, line, key, value and cure.
    """
    return load_config(path, FaultFile)


def load_library(folder: Path | None = None) -> dict[str, Case]:
    """Load all cases, by name.

    Parameters
    ----------
    folder : Path, optional
        Default: the shipped one.

    Raises
    ------
    ConfigError
        A file cannot be used, or two cases have one name.
    """
    cases: dict[str, Case] = {}
    origin: dict[str, Path] = {}
    for path in sorted((folder or config_folder() / "faults").glob("*.yaml")):
        for case in load_library_file(path).cases:
            if case.name in cases:
                raise ConfigError(
                    f"{path}: cases: {case.name!r} is already in {origin[case.name].name}. Rename one."
                )
            cases[case.name], origin[case.name] = case, path
    return cases


def find_case(name: str, cases: dict[str, Case], others: Iterable[str] = ()) -> Case:
    """Find a case by name.

    Raises
    ------
    ConfigError
        There is none; the sentence says which is nearest.
    """
    if name in cases:
        return cases[name]
    near = difflib.get_close_matches(name, [*cases, *others], n=1, cutoff=0.5)
    cure = f"Did you mean '{near[0]}'?" if near else "`openbms inject --list` shows all."
    raise ConfigError(f"'{name}': neither a case of the fault library nor a kind of injection. {cure}")


def drawn(case: Case, rng: random.Random) -> tuple[Case, dict[str, float]]:
    """Give a case with random values within its ranges, and these values.

    Parameters
    ----------
    case : Case
    rng : Random
        Seeded by the caller.
    """
    values: dict[str, float] = {}
    for key, (low, high) in sorted(case.vary.items()):
        whole = float(low).is_integer() and float(high).is_integer() and key in _WHOLE
        values[key] = rng.randint(int(low), int(high)) if whole else round(rng.uniform(low, high), 6)
    return case.with_values(values), values


_WHOLE = frozenset({"cell", "module", "identifier", "length", "flips", "copies", "jump", "processes"})


def rows_provoked(cases: Iterable[Case]) -> set[str]:
    """Give the rows of the fault table that some case expects."""
    return {row for case in cases for row in case.expect.faults}
