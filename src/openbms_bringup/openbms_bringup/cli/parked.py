"""The command `openbms parked-check`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from openbms_bringup.run import PreparedRun, RunOptions, prepare
from openbms_core.config_file import ConfigError

__all__ = ["parked_check"]


def _prepare(
    system: str,
    pack: str | None,
    can_interface: str | None,
    can_channel: str | None,
    namespace: str,
    memory: Path | None,
) -> tuple[PreparedRun, Path]:
    """Prepare a run of driver and monitor alone; give it with the file of what is remembered."""
    from openbms_bringup.parked.store import FILE_NAME
    from openbms_core.ros.state_folder import state_folder

    prepared = prepare(
        RunOptions(
            system=system,
            pack=pack,
            can_interface=can_interface,
            can_channel=can_channel,
            namespace=namespace,
            only=("afe_driver", "safety_monitor", "twin"),
            node_parameters={"safety_monitor": {"may_close": False}},
        )
    )
    if len(prepared.plan.packs) > 1:
        prepared.claim.release()
        raise ConfigError(
            f"{prepared.plan.system_path}: parked-check looks after one pack, and this system has several. "
            "Make a "
            "system file with one of them (pack, bus, driver, safety) and check each in turn."
        )
    if memory is None:
        # each twin is a new pack
        simulated = prepared.plan.system.bus.simulated
        folder = prepared.folder if simulated else state_folder(prepared.plan.pack.serial)
        memory = folder / FILE_NAME
    return prepared, memory.expanduser()


def parked_check(
    system: Annotated[
        str, typer.Option(help="System file, or name of a shipped one; its driver and monitor are run")
    ] = "vehicle",
    pack: Annotated[str | None, typer.Option(help="Pack file, or name of a shipped one")] = None,
    can_interface: Annotated[str | None, typer.Option(help="python-can interface, such as socketcan")] = None,
    can_channel: Annotated[str | None, typer.Option(help="CAN channel, such as can0")] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the pack")] = "bms",
    scans: Annotated[int, typer.Option(min=1, max=10_000, help="Complete scans that are taken")] = 30,
    timeout: Annotated[float, typer.Option(min=1.0, help="Judge what is there after so many seconds")] = 30.0,
    every: Annotated[str, typer.Option(help="Usual time between checks, such as 90min, 6h, 1d")] = "6h",
    wake: Annotated[
        str, typer.Option(help="Who wakes the computer: none, rtc, rtc:FOLDER, or a command with {seconds}")
    ] = "none",
    on_warn: Annotated[str, typer.Option(help="Command that is run on a warning")] = "",
    on_alarm: Annotated[str, typer.Option(help="Command that is run on an alarm")] = "",
    then: Annotated[
        str, typer.Option(help="Command that is run at the end, such as 'systemctl suspend'")
    ] = "",
    memory: Annotated[
        Path | None, typer.Option(help="What is remembered; default in $XDG_STATE_HOME/openbms/<serial>")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs")] = False,
) -> None:
    """Look after a parked pack: heat, insulation, drift, supply; no contactor is ever closed.

    Ends with 0 (ok), 3 (warning), 4 (alarm), 1 (not judged: the pack does not answer), 5 (the pack is in
    use), 2 (configuration).
    """
    from openbms_bringup.parked.wake import parse_duration, parse_wake
    from openbms_bringup.ros.parked_loop import ParkedCheck, ParkedOptions

    try:
        interval_s = parse_duration(every, "--every")
        way = parse_wake(wake, "--wake")
        commands = {
            name: shlex.split(text)
            for name, text in (("on_warn", on_warn), ("on_alarm", on_alarm), ("then", then))
        }
        prepared, path = _prepare(system, pack, can_interface, can_channel, namespace, memory)
        options = ParkedOptions(
            scans=scans,
            timeout_s=timeout,
            interval_s=interval_s,
            memory=path,
            wake=way,
            as_json=as_json,
            **commands,
        )
    except (ConfigError, ValueError) as error:
        sys.stderr.write(f"openbms: {error}\n")
        raise typer.Exit(2) from None
    code = ParkedCheck(prepared, options)()
    sys.stdout.flush()
    sys.stderr.flush()
    # threads of the middleware that are still winding down must not turn a clean end into a crash
    os._exit(code)
