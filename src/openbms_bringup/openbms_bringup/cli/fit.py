"""`openbms fit`: a cell file from tests of a cell, offline and without ROS."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbms_core.config_file import ConfigError

if TYPE_CHECKING:
    from openbms_estimation.identification.commission import Commissioned

__all__ = ["fit", "spread"]

EXIT_INPUT = 2
_LARGEST_AH = 1000.0
_LARGEST_KG = 100.0


_LISTS = ("--ocv", "--dynamic", "--hppc", "--discharge")


def spread(arguments: list[str]) -> list[str]:
    """Let an option take several files at once: ``--ocv A B`` becomes ``--ocv A --ocv B``."""
    found: list[str] = []
    option, taken = "", False
    for argument in arguments:
        if argument.startswith("-"):
            option, taken = (argument if argument in _LISTS else ""), False
            found.append(argument)
        elif option and taken:
            found += [option, argument]
        else:
            found.append(argument)
            taken = True
    return found


def _check(
    chemistry: str,
    capacity_ah: float,
    ocv: list[Path],
    output: Path,
    plot: Path | None,
    mass_kg: float | None,
) -> None:
    from openbms_estimation.identification.commission import CHEMISTRIES

    if chemistry not in CHEMISTRIES:
        raise ConfigError(f"--chemistry is {chemistry!r}: it must be one of {', '.join(CHEMISTRIES)}.")
    if not 0.0 < capacity_ah < _LARGEST_AH:
        raise ConfigError(
            f"--capacity-ah is {capacity_ah}: it must be the ampere-hours of one cell, above 0 and below "
            f"{_LARGEST_AH:g}."
        )
    if mass_kg is not None and not 0.0 < mass_kg < _LARGEST_KG:
        raise ConfigError(
            f"--mass-kg is {mass_kg}: it must be the kilograms of one cell, above 0 and below "
            f"{_LARGEST_KG:g}."
        )
    if not ocv:
        raise ConfigError(
            "--ocv is missing: at least one slow discharge or charge (C/10 or slower) is needed to know the "
            "open-circuit voltage."
        )
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"-o {output}: there is no folder {output.parent}: make it, or name another.")
    if plot is not None and plot.exists() and not plot.is_dir():
        raise ConfigError(f"--plot {plot}: this is a file, a folder is needed: name another.")


def _plot(found: Commissioned, folder: Path) -> None:
    """Draw the open-circuit voltage and, for every test, measured and modelled voltage."""
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    fit = found.fit
    figure, axes = plt.subplots(figsize=(9, 5), constrained_layout=True)
    for node, ocv, gap in zip(fit.knots.temperature_degc, fit.ocv_v, fit.gap_v, strict=True):
        (line,) = axes.plot(fit.knots.ocv_soc, ocv, label=f"{node:g} °C, discharge")
        branch = ocv + np.interp(fit.knots.ocv_soc, fit.knots.gap_soc, gap)
        axes.plot(fit.knots.ocv_soc, branch, "--", color=line.get_color(), label="charge")
    axes.set_xlabel("State of charge")
    axes.set_ylabel("Open-circuit voltage [V]")
    axes.legend()
    axes.grid(True, alpha=0.3)
    figure.savefig(folder / "open_circuit_voltage.png", dpi=110)
    plt.close(figure)
    for test in found.tests:
        figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, constrained_layout=True)
        for record in test.records:
            voltage, _ = fit.simulate(record)
            hours = (record.time_s - test.test.time_s[0]) / 3600.0
            upper.plot(hours, record.voltage_v, "k", linewidth=0.7)
            upper.plot(hours, voltage, "C1", linewidth=0.7)
            lower.plot(hours, 1000.0 * (record.voltage_v - voltage), linewidth=0.6)
        upper.set_title(f"{test.test.path.name}: measured (black), model")
        upper.set_ylabel("Voltage [V]")
        lower.set_ylabel("Difference [mV]")
        lower.set_xlabel("Time [h]")
        for part in (upper, lower):
            part.grid(True, alpha=0.3)
        figure.savefig(folder / f"{test.test.path.stem}.png", dpi=100)
        plt.close(figure)


def _say(found: Commissioned, content: dict[str, Any], output: Path, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{content['name']}: {found.capacity_ah:.4g} Ah, from {found.capacity_from}")
    for column in ("test", "°C", "from SoC", "known since it", "rms mV", "above 20 %"):
        table.add_column(column)
    tests = (*found.tests, *found.discharges)
    for test, row in zip(tests, content["provenance"]["residuals"], strict=True):
        table.add_row(
            row["record"],
            f"{row['temperature_degc']:.1f}",
            f"{test.placement.soc_start:.3f}",
            test.placement.why,
            f"{1e3 * row['rms_v']:.1f}",
            f"{1e3 * row['rms_above_20_percent_soc_v']:.1f}",
        )
    console.print(table)
    for test in tests:
        for note in test.test.notes:
            console.print(f"{test.test.path.name}: {note}.")
        aged = test.placement.capacity_ah / found.capacity_ah
        if abs(aged - 1.0) > 0.03:
            console.print(
                f"{test.test.path.name}: its rests tell {test.placement.capacity_ah:.4g} Ah, "
                f"{100 * (aged - 1):+.0f} % of the slow test's: taken so."
            )
    for text in found.left_out:
        console.print(f"Left out: {text}.")
    nodes = found.fit.knots.temperature_degc
    if not found.has_dynamics:
        console.print(
            "No test with load: resistances are those usual for the chemistry (±50 %), and intervals "
            "will be wide. "
            "Give --hppc or --dynamic."
        )
    if max(nodes) - min(nodes) < 8.0:
        console.print(
            f"Tests at one temperature only ({nodes[0]:g} °C): resistances at others follow Arrhenius, and "
            "their uncertainty grows by 1 % for each kelvin."
        )
    console.print(f"Written: {output} ({seconds:.0f} s)")


def fit(
    name: Annotated[str, typer.Option(help="Name of the cell")],
    chemistry: Annotated[str, typer.Option(help="nmc, nca, lfp or lco")],
    capacity_ah: Annotated[float, typer.Option(help="Rated capacity [Ah]")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Cell file to write")],
    ocv: Annotated[
        list[Path] | None, typer.Option(help="Slow tests (C/10 or slower), one or more files")
    ] = None,
    dynamic: Annotated[
        list[Path] | None, typer.Option(help="Drive cycles or other load, one or more files")
    ] = None,
    hppc: Annotated[list[Path] | None, typer.Option(help="Pulse tests, one or more files")] = None,
    discharge: Annotated[
        list[Path] | None,
        typer.Option(help="Whole discharges with a constant current, for the energy only"),
    ] = None,
    mass_kg: Annotated[
        float | None, typer.Option(help="Mass of the cell in kg; energy then reckons with its warming")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Folder for plots of every test")] = None,
    source: Annotated[str, typer.Option(help="Where the tests are from, for the provenance")] = "own tests",
    citation: Annotated[str, typer.Option(help="Who measured them")] = "not stated",
    licence: Annotated[str, typer.Option(help="Licence of the tests")] = "not stated",
) -> None:
    """Fit a cell's model to its tests (.parquet or .csv: time_s, voltage_v, current_a, temperature_c, ah)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from openbms_core.cell import load_cell
    from openbms_estimation.identification.cell_file import cell_file, to_yaml
    from openbms_estimation.identification.commission import commission
    from openbms_estimation.identification.error_model import model_error
    from openbms_estimation.identification.read import read_test

    began = time.perf_counter()
    try:
        _check(chemistry, capacity_ah, ocv or [], output, plot, mass_kg)
        tests = [
            (kind, read_test(path))
            for kind, paths in (
                ("ocv", ocv),
                ("hppc", hppc),
                ("dynamic", dynamic),
                ("discharge", discharge),
            )
            for path in paths or []
        ]
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as bar:
            task = bar.add_task("reading", total=150)

            def progress(text: str) -> None:
                if text:
                    bar.update(task, description=text)
                bar.advance(task)

            found = commission(tests, chemistry, capacity_ah, progress=progress)  # type: ignore[arg-type]
            error = model_error(found, progress)
        content = cell_file(
            found,
            error,
            name=name,
            chemistry=chemistry,
            rated_ah=capacity_ah,
            source=source,
            citation=citation,
            licence=licence,
            mass_kg=mass_kg,
        )
        output.write_text(to_yaml(content, f"{name}. Written by `openbms fit`."), encoding="utf-8")
        load_cell(output)
        if plot is not None:
            _plot(found, plot)
    except ConfigError as error_found:
        sys.stderr.write(f"openbms: {error_found}\n")
        raise typer.Exit(EXIT_INPUT) from error_found
    _say(found, content, output, time.perf_counter() - began)
