"""The command `openbms`. What needs ROS or much time is imported only by the command that uses it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

__all__ = ["app"]

app = typer.Typer(
    name="openbms",
    help="Battery management as ROS 2 nodes. `openbms run` shows a living pack without any hardware.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

EXIT_CONFIGURATION = 2
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""The options of such a command are read by an application of its own: its module is imported only then."""


def _refuse(text: str) -> NoReturn:
    """End with one sentence."""
    sys.stderr.write(f"openbms: {text}\n")
    raise typer.Exit(EXIT_CONFIGURATION)


def _checked(function: Callable[[], Any]) -> Any:
    """Call a function; what the user has to put right ends the command with one sentence."""
    from openbms_core.config_file import ConfigError

    try:
        return function()
    except ConfigError as error:
        _refuse(str(error))
    except OSError as error:
        if error.strerror is None:  # not of the operating system: a bug is shown whole
            raise
        place = error.filename or "the working folder"
        _refuse(f"{place}: {error.strerror}. Check that it is there and may be read and written.")


@app.command()
def run(
    system: Annotated[
        str, typer.Option(help="System file, or name of a shipped one: demo, vehicle")
    ] = "demo",
    pack: Annotated[str | None, typer.Option(help="Pack file, or name of a shipped one")] = None,
    can_interface: Annotated[str | None, typer.Option(help="python-can interface, such as socketcan")] = None,
    can_channel: Annotated[str | None, typer.Option(help="CAN channel, such as can0")] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the pack")] = "bms",
    duration: Annotated[float | None, typer.Option(help="End after so many seconds")] = None,
    summary: Annotated[Path | None, typer.Option(help="Write the summary to this JSON file")] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds in one real second")] = 1.0,
    replay: Annotated[
        Path | None, typer.Option(help="Recorded test for the twin, in place of the shipped one")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for bags; default $OPENBMS_DATA or ~/.local/share/openbms")
    ] = None,
    params: Annotated[Path | None, typer.Option(help="Further ROS parameter file, keyed /**/<node>")] = None,
    log_level: Annotated[str, typer.Option(help="Severity from which nodes log")] = "info",
) -> None:
    """Run a whole system here, with a live view, until its test ends or Ctrl-C."""
    from rich.console import Console

    from openbms_bringup.run import RunOptions, prepare

    _need_ros()
    prepared = _checked(
        lambda: prepare(
            RunOptions(
                system=system,
                pack=pack,
                can_interface=can_interface,
                can_channel=can_channel,
                namespace=namespace,
                duration_s=duration,
                summary=summary,
                speed=speed,
                replay=replay,
                data_folder=data_dir,
                params=params,
                log_level=log_level,
            )
        )
    )
    from openbms_bringup.ros.run_loop import RunLoop

    code = _checked(lambda: RunLoop(prepared, Console())())
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the middleware that are still winding down must not turn a clean end into a crash of the
    # interpreter.
    os._exit(code)


def _need_ros() -> None:
    from importlib.util import find_spec

    if find_spec("rclpy") is None or find_spec("openbms_msgs") is None:
        _refuse(
            "ROS 2 or the built messages are not in this environment. Run `make build`; "
            "`openbms doctor` says more."
        )


@app.command()
def check(
    file: Annotated[
        str, typer.Argument(help="Pack, cell or system file, or name of a shipped pack or system")
    ],
) -> None:
    """Load a pack, cell, system or fault library file and say what is wrong with it."""
    from openbms_bringup.check import check_file

    typer.echo(_checked(lambda: check_file(file)))


@app.command()
def schema(kind: Annotated[str, typer.Argument(help="pack, cell, system, faults or site")]) -> None:
    """Print the JSON schema of a configuration file, for editors."""
    from openbms_bringup.check import models

    known = models()
    if kind not in known:
        _refuse(f"'{kind}': no such kind of file; give one of {', '.join(known)}.")
    typer.echo(json.dumps(known[kind].model_json_schema(by_alias=True), indent=2))


@app.command()
def topics(namespace: Annotated[str, typer.Option(help="Namespace of the pack")] = "bms") -> None:
    """Print the table of topics."""
    from rich.console import Console
    from rich.table import Table

    from openbms_core.topics import TOPICS, absolute_name

    table = Table("Topic", "Type", "Node", "Hz", "Recorded", "Meaning")
    for topic in TOPICS:
        table.add_row(
            absolute_name(topic, namespace),
            topic.type,
            topic.publisher,
            f"{topic.rate_hz:g}" if topic.rate_hz else "on change",
            "yes" if topic.recorded else "no",
            topic.meaning,
        )
    console = Console()
    # what is read by people only is folded to their terminal; what goes into a file or a pipe stays whole
    console.width = max(console.width, 120) if console.is_terminal else 240
    console.print(table)


@app.command()
def doctor() -> None:
    """Look for what is missing on this computer, and name the cure."""
    from openbms_bringup.doctor import examine

    problems = 0
    for finding in examine():
        mark = {0: "ok  ", 1: "hint", 2: "MISS"}[finding.level]
        problems += finding.level == 2
        typer.echo(f"{mark}  {finding.what}" + (f"\n      {finding.cure}" if finding.cure else ""))
    typer.echo("Everything needed is here." if not problems else f"{problems} thing(s) missing.")
    raise typer.Exit(1 if problems else 0)


@app.command()
def recover(
    bag: Annotated[Path, typer.Argument(help="Folder of a bag, or a folder that holds bags")],
) -> None:
    """Complete a recording that was cut off by a crash or a loss of power."""
    from openbms_bringup.cli.recover import recover_bag

    typer.echo(_checked(lambda: recover_bag(bag)))


@app.command()
def request(
    state: Annotated[str, typer.Argument(help="standby, drive, charge or connected")],
    namespace: Annotated[str, typer.Option(help="Namespace of the pack")] = "bms",
) -> None:
    """Ask the safety monitor for a state."""
    _need_ros()
    from openbms_bringup.ros.services import request_state

    _answer(lambda: request_state(state, namespace))


@app.command()
def why(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs")] = False,
    namespace: Annotated[str, typer.Option(help="Namespace of the pack")] = "bms",
) -> None:
    """Say why the contactors are open, why it may not charge, and what to do about each fault."""
    _need_ros()
    from openbms_bringup.ros.listen_once import listen_once
    from openbms_bringup.why import explain, text

    heard = _checked(lambda: listen_once(("state", "faults", "limits"), namespace))
    report = explain(heard["state"], heard["faults"], heard["limits"])
    typer.echo(json.dumps(report, indent=2) if as_json else text(report))
    sys.stdout.flush()
    os._exit(0)


@app.command("parked-check", context_settings=_PASS_ON, add_help_option=False)
def parked_check(context: typer.Context) -> None:
    """Look after a parked pack: heat, insulation, drift, supply; no contactor is ever closed."""
    _need_ros()
    from openbms_bringup.cli.parked import parked_check as command

    _run_alone(command, context.args, "openbms parked-check")


@app.command("clear-faults")
def clear_faults(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Identifiers; none: all that can be cleared")
    ] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the pack")] = "bms",
) -> None:
    """Clear latched faults whose condition is gone."""
    _need_ros()
    from openbms_bringup.ros.services import clear

    _answer(lambda: clear(ids or [], namespace))


def _run_alone(command: Callable[..., Any], arguments: list[str], name: str) -> None:
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command()(command)
    alone(args=arguments, prog_name=name)


def _answer(call: Callable[[], tuple[bool, str]]) -> None:
    accepted, text = _checked(call)
    typer.echo(text)
    sys.stdout.flush()
    os._exit(0 if accepted else 1)


@app.command()
def inject(
    name: Annotated[str | None, typer.Argument(help="Case of the library, or kind of injection")] = None,
    values: Annotated[list[str] | None, typer.Argument(help="key=value, such as cell=17")] = None,
    listed: Annotated[bool, typer.Option("--list", help="Print all cases and kinds")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Take back what is broken in the twin")] = False,
    for_s: Annotated[float | None, typer.Option("--for", help="Take it back after so many seconds")] = None,
    watch: Annotated[float | None, typer.Option(help="Watch so many seconds after it has happened")] = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="First bring the pack to where the case begins")
    ] = False,
    namespace: Annotated[str, typer.Option(help="Namespace of the pack")] = "bms",
) -> None:
    """Break something in a running demo, and follow what happens against what must happen."""
    from rich.console import Console

    console = Console()
    if listed:
        from openbms_bringup.inject.show import listing

        console.width = max(console.width, 120) if console.is_terminal else 240
        console.print(_checked(listing))
        return
    if name is None and not clear:
        _refuse("inject: name a case or a kind of injection; `openbms inject --list` shows all.")
    for option, value in (("--for", for_s), ("--watch", watch)):
        if value is not None and not 0 < value < 86400:
            _refuse(f"{option} is {value:g}: give seconds above 0.")
    _need_ros()
    from openbms_bringup.cli import inject as command

    if clear:
        code = _checked(lambda: command.clear(namespace, console))
    else:
        options = command.InjectOptions(name or "", tuple(values or ()), namespace, for_s, watch, prepare)
        code = _checked(lambda: command.inject(options, console))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@app.command(context_settings=_PASS_ON, add_help_option=False)
def replay(context: typer.Context) -> None:
    """Run the estimators over a recording, without ROS."""
    # numpy and scipy are imported here only: its options are read by an application of its own
    from openbms_bringup.cli.replay import replay as command

    _run_alone(command, context.args, "openbms replay")


@app.command(context_settings=_PASS_ON, add_help_option=False)
def fit(context: typer.Context) -> None:
    """Fit a cell's model to its tests and write a cell file, without ROS."""
    from openbms_bringup.cli.fit import fit as command
    from openbms_bringup.cli.fit import spread

    _run_alone(command, spread(context.args), "openbms fit")


@app.command(context_settings=_PASS_ON, add_help_option=False)
def soh(context: typer.Context) -> None:
    """State of health, offline: judge the estimate of capacity on recorded cells."""
    from openbms_bringup.cli.soh import soh as commands

    commands(args=context.args, prog_name="openbms soh")


@app.command(context_settings=_PASS_ON, add_help_option=False)
def can(context: typer.Context) -> None:
    """CAN: replay recorded logs through driver and safety core, without ROS."""
    from openbms_bringup.cli.can import can as commands

    commands(args=context.args, prog_name="openbms can")


@app.command(context_settings=_PASS_ON, add_help_option=False)
def site(context: typer.Context) -> None:
    """Site: find meters and inverters that speak SunSpec over Modbus TCP, without ROS."""
    from openbms_bringup.cli.site import site as commands

    commands(args=context.args, prog_name="openbms site")


if __name__ == "__main__":
    app()
