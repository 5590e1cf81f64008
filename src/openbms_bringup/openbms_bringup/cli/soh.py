"""`openbms soh`: the estimate of capacity, judged on recorded cells, offline and without ROS."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openbms_core.config_file import ConfigError

if TYPE_CHECKING:
    from openbms_estimation.soh.evaluate import EvaluationResult

__all__ = ["evaluate", "soh"]

EXIT_INPUT = 2

soh = typer.Typer(
    help="State of health, offline: judge the estimate of capacity on recorded cells.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@soh.callback()
def _group() -> None:
    """State of health, offline: judge the estimate of capacity on recorded cells."""


def _print(result: EvaluationResult, file: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    f = result.figures
    table = Table(title=str(file), show_header=False)
    rows = {
        "scored estimates": f"{f['scored']} ({f['draws']} draws of windows, seed {f['seed']})",
        "commissioning cycles": f"{f['commissioning_cycles']}, not scored",
        "window": f"{f['window']:.2f} of the rated capacity, of {f['windows_of']}; in the mean "
        f"{f['mean_window_ah']:.3f} Ah were seen",
        "reference": str(f["reference"]),
        "RMSE": f"{f['rmse_ah']:.4f} Ah, {f['rmse_percent']:.2f} % of rated",
        "mean absolute error": f"{f['mae_ah']:.4f} Ah, {f['mae_percent']:.2f} %",
        "largest error": f"{f['max_error_ah']:.4f} Ah, {f['max_error_percent']:.2f} %",
        "bias": f"{f['bias_ah']:+.4f} Ah, {f['bias_percent']:+.2f} %",
        "95 % interval covers": f"{100 * float(str(f['coverage_95'])):.1f} %",
        "mean width of the interval": f"{f['mean_width_ah']:.4f} Ah, {f['mean_width_percent']:.2f} %",
        "RMSE if the first capacity is kept": f"{f['rmse_kept_percent']:.2f} %",
    }
    life = f.get("until_end_of_life")
    if isinstance(life, dict):
        rows["RMSE down to 70 % of rated"] = f"{life['rmse_percent']:.2f} % ({life['scored']} estimates)"
    left_out = f["left_out"]
    if isinstance(left_out, dict):
        rows.update({f"left out: {reason}": str(count) for reason, count in left_out.items()})
    for key, value in rows.items():
        table.add_row(key, value)
    Console().print(table)


@soh.command()
def evaluate(
    curves: Annotated[Path, typer.Option(help="Parquet: the curves of every charge and discharge")],
    cycles: Annotated[Path, typer.Option(help="Parquet: the capacity measured in each cycle")],
    capacity_ah: Annotated[float, typer.Option(help="Rated capacity of the cell [Ah]")],
    window: Annotated[float, typer.Option(help="Length of a window, as a part of the rated capacity")] = 0.3,
    commissioning: Annotated[
        int, typer.Option(help="Full cycles that begin each load and temperature; not scored")
    ] = 3,
    charges: Annotated[
        bool, typer.Option("--charges/--no-charges", help="Show the estimator windows of charges too")
    ] = True,
    draws: Annotated[int, typer.Option(help="How often to judge with windows at other places")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the places of the windows")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON")] = False,
) -> None:
    """Estimate the capacity in each cycle from a partial window and compare it with the measured one."""
    from openbms_estimation.soh.cycle_record import read_cell_record
    from openbms_estimation.soh.evaluate import EvaluationOptions
    from openbms_estimation.soh.evaluate import evaluate as run

    try:
        options = EvaluationOptions(window, commissioning, charges, draws, seed)
        record = read_cell_record(curves, cycles, capacity_ah)
        began = time.perf_counter()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            with Progress(console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task(curves.name, total=None)
                result = run(
                    record,
                    capacity_ah,
                    options,
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                )
        else:
            result = run(record, capacity_ah, options)
        result.figures["wall_s"] = time.perf_counter() - began
    except ConfigError as error:
        sys.stderr.write(f"openbms: {error}\n")
        raise typer.Exit(EXIT_INPUT) from error
    if as_json:
        sys.stdout.write(json.dumps(result.figures, indent=2) + "\n")
    else:
        _print(result, curves)
