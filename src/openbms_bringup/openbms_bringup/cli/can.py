"""`openbms can`: packs out of DBC files and logs, without ROS."""

from __future__ import annotations

import typer

from openbms_bringup.cli.can_check import check
from openbms_bringup.cli.can_map import map_dbc
from openbms_bringup.cli.can_replay import replay

__all__ = ["can"]

can = typer.Typer(
    help="CAN: a pack file out of a DBC, its check against a log, replay of logs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
can.command("map")(map_dbc)
can.command("check")(check)
can.command("replay")(replay)


@can.callback()
def _group() -> None:
    """CAN: a pack file out of a DBC, its check against a log, replay of logs."""
