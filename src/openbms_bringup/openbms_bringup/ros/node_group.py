"""Run the nodes of one process of a system file: ``node_group --system FILE --process NAME --ros-args …``.

A group takes only a namespace and parameters keyed ``/**/<node>``. Never give it ``__node:=`` or ``name=``:
that renames every node in the process. Of several packs each node gets the pack's namespace below the group's
(``/bms/<pack>``), and its parameters are keyed ``/**/<pack>/<node>``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

_EXIT_CONFIGURATION = 2


def node_class(path: str) -> Callable[[], Any]:
    """Import the class of a node by ``package.module:Class``.

    Raises
    ------
    ConfigError
        A package is not installed, or there is no such class.
    """
    from openbms_core.config_file import ConfigError

    module_name, _, class_name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path}: the Python module '{error.name}' is missing. `openbms doctor` names the cure."
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        raise ConfigError(f"{path}: the module {module_name} has no '{class_name}'.")
    return found


def check_remaps(arguments: Sequence[str]) -> None:
    """Refuse a new node name, which would be given to every node of the group (ConfigError)."""
    from openbms_core.config_file import ConfigError

    for argument in arguments:
        if argument.startswith(("__node:=", "__name:=")):
            raise ConfigError(
                f"{argument}: this renames every node of the process. Give a group a namespace only."
            )


def group_namespace(arguments: Sequence[str]) -> str:
    """Give the namespace that a command line asks for, without a slash at its end; empty: the root."""
    for argument in reversed(arguments):
        if argument.startswith("__ns:="):
            namespace = argument.removeprefix("__ns:=").strip("/")
            return f"/{namespace}" if namespace else ""
    return ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="node_group", description=__doc__)
    parser.add_argument("--system", required=True, help="system file or name of a shipped one")
    parser.add_argument("--process", required=True, help="name of the process in it")
    parser.add_argument(
        "--stop-with-parent",
        type=float,
        metavar="SECONDS",
        help="end when the parent process ends, at the latest after this time",
    )
    parser.add_argument(
        "--parent",
        type=int,
        metavar="PID",
        help="the parent; one that ended while this starts is noticed too",
    )
    end = sys.argv.index("--ros-args") if "--ros-args" in sys.argv else len(sys.argv)
    return parser.parse_args(sys.argv[1:end])


def _load(system_name: str, process_name: str) -> tuple[list[Callable[[], Any]], bool]:
    from openbms_bringup.system import load_system
    from openbms_core.config_file import ConfigError

    check_remaps(sys.argv)
    path, system = load_system(system_name)
    processes = system.instances()
    if process_name not in processes:
        raise ConfigError(f"{path}: no process '{process_name}'; there are: {', '.join(processes)}.")
    process = processes[process_name]
    os.environ.update(process.entry.environment)
    found: list[Callable[[], Any]] = []
    for instance in process.nodes:
        made = node_class(system.nodes[instance.node].class_path)
        if instance.pack:
            own = f"__ns:={group_namespace(sys.argv)}/{instance.pack}"
            # the node's own rule is looked at before the one of the whole process
            made = partial(made, cli_args=["--ros-args", "-r", own])
        found.append(made)
    return found, process.entry.critical


def main() -> None:
    """Run one process of a system file until SIGINT or SIGTERM."""
    # Until the nodes are made there is nothing to wind down: a stop during the imports, which take a second,
    # ends at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    given = _arguments()
    if given.stop_with_parent:
        from openbms_bringup.parent_watch import stop_with_parent

        stop_with_parent(given.stop_with_parent, given.parent)
    from openbms_core.config_file import ConfigError

    try:
        classes, critical = _load(given.system, given.process)
    except ConfigError as error:
        sys.stderr.write(f"openbms: {error}\n")
        sys.exit(_EXIT_CONFIGURATION)
    from openbms_core.ros.node_base import run_nodes

    run_nodes(classes, fail_safe=critical)


if __name__ == "__main__":
    main()
