"""`openbms can`: packs out of DBC files and logs, without ROS."""

from __future__ import annotations

import typer

from openbms_bringup.cli.can_replay import replay

__all__ = ["can"]

can = typer.Typer(
    help="CAN: replay recorded logs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
can.command("replay")(replay)


@can.callback()
def _group() -> None:
    """CAN: replay recorded logs."""
