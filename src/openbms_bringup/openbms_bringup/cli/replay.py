"""`openbms replay`: run an SoC estimator over a recorded log, offline and without ROS."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from openbms_core.config_file import ConfigError

if TYPE_CHECKING:
    from openbms_core.models.ecm import CellModel
    from openbms_estimation.replay import ReplayResult

__all__ = ["replay"]

EXIT_INPUT = 2


def _plot(result: ReplayResult, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (upper, middle, lower) = plt.subplots(3, 1, figsize=(10, 9), sharex=True, constrained_layout=True)
    minutes = result.time_s / 60.0
    upper.plot(minutes, 100 * result.soc, label="estimate")
    band = 1.96 * result.soc_std
    upper.fill_between(
        minutes, 100 * (result.soc - band), 100 * (result.soc + band), alpha=0.25, label="95 % interval"
    )
    if result.reference_soc is not None:
        upper.plot(minutes, 100 * result.reference_soc, "k--", linewidth=1, label="reference")
        middle.plot(minutes, 100 * (result.soc - result.reference_soc))
        middle.fill_between(minutes, -100 * band, 100 * band, alpha=0.25)
    upper.set_ylabel("SoC [%]")
    upper.legend()
    middle.set_ylabel("SoC error [%]")
    lower.plot(minutes, 1000 * result.innovation_v, linewidth=0.5)
    lower.set_ylabel("Innovation [mV]")
    lower.set_xlabel("Time [min]")
    for axes in (upper, middle, lower):
        axes.grid(True, alpha=0.3)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: the plot cannot be written ({error}): give a writable .png or .svg file."
        ) from error
    finally:
        plt.close(figure)


def _check_plot(path: Path) -> None:
    """Refuse before the run what could not be written after it."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"--plot {path}: the type is not known: give a .png, .svg or .pdf file.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--plot {path}: there is no folder {path.parent}: make it, or name another.")


def _model(cell: str) -> CellModel:
    from openbms_core.cell import load_cell
    from openbms_core.models.ecm import CellModel
    from openbms_core.resources import find_config

    return CellModel.from_file(load_cell(find_config("cells", cell)))


def _print(result: ReplayResult, file: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=str(file), show_header=False)
    for key, value in result.figures.items():
        if isinstance(value, float):
            text = f"{value:.4f}"
        else:
            text = "not known" if value is None else str(value)
        table.add_row(key, text)
    Console().print(table)


def replay(
    file: Annotated[Path, typer.Argument(help="Log of one cell: .parquet or .csv")],
    cell: Annotated[str, typer.Option(help="Cell file, or name of a shipped one")] = "lg_hg2",
    method: Annotated[str, typer.Option(help="ekf, sigma (sigma points), coulomb; auto: ekf")] = "auto",
    initial_soc: Annotated[
        float | None, typer.Option(help="SoC the estimator is told (0…1); default: from the first voltage")
    ] = None,
    true_initial_soc: Annotated[
        float | None,
        typer.Option(
            help="SoC the reference starts from; default: the file's soc0, else the first voltage at rest"
        ),
    ] = None,
    capacity_ah: Annotated[
        float | None,
        typer.Option(
            help="Present capacity, for estimate and reference; default: the cell file's and the file's"
        ),
    ] = None,
    current_bias_a: Annotated[float, typer.Option(help="Error added to the measured current [A]")] = 0.0,
    voltage_bias_v: Annotated[float, typer.Option(help="Error added to the measured voltage [V]")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a plot (.png, .svg)")] = None,
) -> None:
    """Estimate the SoC along a recorded log and compare it with the tester's charge counter."""
    from openbms_estimation.log_file import read_cell_log
    from openbms_estimation.replay import METHODS, ReplayOptions
    from openbms_estimation.replay import replay as run

    try:
        if method not in METHODS:
            raise ConfigError(f"--method is {method!r}: it must be auto, ekf, sigma or coulomb.")
        if plot is not None:
            _check_plot(plot)
        model = _model(cell)
        log = read_cell_log(file)
        options = ReplayOptions(
            method=METHODS[method],
            initial_soc=initial_soc,
            true_initial_soc=true_initial_soc,
            capacity_ah=capacity_ah,
            current_bias_a=current_bias_a,
            voltage_bias_v=voltage_bias_v,
        )
        began = time.perf_counter()
        if sys.stderr.isatty() and len(log.time_s) > 10_000:
            from rich.console import Console
            from rich.progress import Progress

            with Progress(console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task(file.name, total=len(log.time_s))
                result = run(log, model, options, progress=lambda done, _: bar.update(task, completed=done))
        else:
            result = run(log, model, options)
        result.figures["wall_s"] = time.perf_counter() - began
        if plot is not None:
            _plot(result, plot)
    except ConfigError as error:
        sys.stderr.write(f"openbms: {error}\n")
        raise typer.Exit(EXIT_INPUT) from error
    if as_json:
        sys.stdout.write(json.dumps(result.figures, indent=2) + "\n")
    else:
        _print(result, file)
