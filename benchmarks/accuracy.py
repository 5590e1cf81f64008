"""Accuracy of the state of charge on recorded cycles of real cells: table, plots, targets.

    python benchmarks/accuracy.py --data FOLDER [--groups lg-fit a123-fit] [--every 3] [--keep]

FOLDER holds ``manifest.csv`` and ``soc/``. With ``--keep`` page, figures and plots go to docs/validation.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from accuracy_report import month  # noqa: E402
from accuracy_report.groups import GROUPS, MONTH, Group, capacities, files_of  # noqa: E402
from accuracy_report.page import figures, page, plot  # noqa: E402
from accuracy_report.runs import Run, run_file  # noqa: E402

from openbms_core.cell import load_cell  # noqa: E402
from openbms_core.models.ecm import CellModel  # noqa: E402
from openbms_core.resources import find_config  # noqa: E402
from openbms_estimation.identification.cell_file import cell_file, to_yaml  # noqa: E402
from openbms_estimation.identification.commission import commission  # noqa: E402
from openbms_estimation.identification.error_model import model_error  # noqa: E402
from openbms_estimation.identification.read import read_test  # noqa: E402

KEPT = HERE.parent / "docs" / "validation"
BESIDE = HERE.parents[1] / "shared" / "data"


def commissioned(group: Group, data: Path, cells: Path | None, left_out: str | None) -> CellModel:
    """Fit a group's cell as `openbms fit` does, without the tests at the place ``left_out``."""
    if group.shipped:
        return CellModel.from_file(load_cell(find_config("cells", group.shipped)))
    tests = []
    for kind in ("ocv", "hppc", "dynamic"):
        for path in files_of(data, getattr(group, kind)):
            if left_out is not None and f"__{left_out}__" in path.name and (
                kind == "dynamic" or group.chemistry != "lfp"
            ):  # fmt: skip
                continue
            tests.append((kind, read_test(path)))
    found = commission(tests, group.chemistry, group.rated_ah)
    content = cell_file(
        found, model_error(found), name=group.key, chemistry=group.chemistry, rated_ah=group.rated_ah,
        source="own tests", citation="not stated", licence="not stated",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        name = group.key + (f"-without-{left_out}" if left_out else "")
        path = (cells or Path(folder)) / f"{name}.yaml"
        path.write_text(to_yaml(content, name), encoding="utf-8")
        return CellModel.from_file(load_cell(path))


def judge(task: tuple[int, Path, Path | None, int]) -> tuple[dict[str, list[Run]], str]:
    """Commission a group (or one place of it) and run its cycles."""
    number, data, cells, every = task
    group = GROUPS[number]
    began = time.perf_counter()
    capacity = capacities(data)
    model = None if group.left_out else commissioned(group, data, cells, None)
    spent_s, fits = time.perf_counter() - began, 1
    runs: dict[str, list[Run]] = {}
    for place, patterns in group.judged.items():
        here = model
        if here is None:
            began = time.perf_counter()
            here = commissioned(group, data, cells, place)
            spent_s, fits = max(spent_s, time.perf_counter() - began), 2
        runs[place] = [
            run_file(path, here, group.capacity_ah or capacity[str(path.relative_to(data))])
            for path in files_of(data, patterns)[::every]
        ]
    said = "Shipped with the house." if group.shipped else f"Fitted in {spent_s:.0f} s" + (
        " (the longest of its fits)." if fits > 1 else "."
    )  # fmt: skip
    return runs, said


def live_month(task: tuple[Path, Path | None, float]) -> tuple[dict[str, Any], list[str]]:
    """Commission the LFP cell and live the month."""
    data, cells, days = task
    return month.run(data, days, commissioned(MONTH, data, cells, None))


def _rounded(value: Any) -> Any:
    """Give the same with six figures after the point."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _lines(group: Group, places: dict[str, Any]) -> Iterable[str]:
    for place, found in places.items():
        cells = " ".join(
            f"{name}: {100 * row['filter']['rmse']:.2f}/{100 * row['filter']['worst_rmse']:.2f}"
            f" ({100 * row['coulomb counter']['rmse']:.2f}, {100 * row['1RC EKF']['rmse']:.2f})"
            for name, row in found["conditions"].items()
            if row["filter"]["rmse"] is not None
        )
        total = found["all"]
        yield (
            f"group={group.key} place={place} cycles={found['cycles']} covered={100 * total['covered']:.1f} "
            f"width={100 * total['width']:.1f} {cells}"
        )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=BESIDE, help="folder with manifest.csv and soc/")
    parser.add_argument("--groups", nargs="*", choices=[group.key for group in GROUPS], help="default: all")
    parser.add_argument("--every", type=int, default=1, help="only every so many cycles")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--days", type=float, default=30.0, help="length of the twin's month; 0: none")
    parser.add_argument("--cells", type=Path, help="folder for the cell files that are fitted")
    parser.add_argument(
        "--keep", action="store_true", help="write page, figures and plots to docs/validation"
    )
    arguments = parser.parse_args()
    if not (arguments.data / "manifest.csv").is_file():
        sys.exit(
            f"{arguments.data} has no manifest.csv: give the folder of the recorded cells with --data "
            "(docs/validation/accuracy.md says which)."
        )
    chosen = [n for n, group in enumerate(GROUPS) if not arguments.groups or group.key in arguments.groups]
    sys.stdout.write("RMSE mean/worst [% SoC] of the filter (coulomb counter, 1RC EKF); 95 % interval\n")
    parts: list[tuple[Group, dict[str, Any], str]] = []
    with get_context("spawn").Pool(arguments.jobs) as pool:
        living = (
            pool.apply_async(live_month, ((arguments.data, arguments.cells, arguments.days),))
            if arguments.days > 0
            else None
        )
        tasks = [(number, arguments.data, arguments.cells, arguments.every) for number in chosen]
        for number, (runs, said) in zip(chosen, pool.imap(judge, tasks), strict=True):
            group = GROUPS[number]
            places = {place: figures(found) for place, found in runs.items() if found}
            parts.append((group, places, said))
            sys.stdout.write("\n".join(_lines(group, places)) + "\n")
            sys.stdout.flush()
            if arguments.keep:
                plot(group, runs, KEPT)
        twin, twin_lines = living.get() if living is not None else ({}, [])
    sys.stdout.write("\n".join(twin_lines) + "\n")
    if arguments.keep:
        text = page(parts, twin_lines, "make accuracy")
        (KEPT / "accuracy.md").write_text(text, encoding="utf-8")
        kept = {group.key: {"title": group.title, "places": places} for group, places, _ in parts}
        (KEPT / "accuracy.json").write_text(
            json.dumps(_rounded({**kept, "month": twin}), indent=1) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
