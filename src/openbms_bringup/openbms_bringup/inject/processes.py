"""Find the processes of a running system on this computer, by what they were started with."""

from __future__ import annotations

import psutil

from openbms_core.config_file import ConfigError

__all__ = ["find_process", "process_of"]

_GROUP = ("openbms_bringup.ros.node_group", "node_group")


def process_of(command: list[str]) -> tuple[str, str] | None:
    """Give process name and namespace that a command line starts; None: it starts no process of a system."""
    if not any(part == _GROUP[0] or part.rsplit("/", 1)[-1] == _GROUP[1] for part in command[:4]):
        return None
    name = namespace = ""
    for part, following in zip(command, [*command[1:], ""], strict=True):
        if part == "--process":
            name = following
        elif part.startswith("__ns:="):
            namespace = part.removeprefix("__ns:=")
    return name, namespace.strip("/")


def find_process(name: str, namespace: str, domain: int) -> psutil.Process:
    """Find one process of the system that runs in this namespace and ROS domain.

    `openbms run`, `ros2 launch` and tests all start `node_group --process NAME` with the namespace on the
    command line and the domain in the environment: that is what is looked for.

    Parameters
    ----------
    name : str
        Name of the process in the system file.
    namespace : str
        Namespace of the pack.
    domain : int
        ROS domain.

    Raises
    ------
    ConfigError
        There is none on this computer, or more than one.
    """
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process_of(process.cmdline()) != (name, namespace.strip("/")):
                continue
            if int(process.environ().get("ROS_DOMAIN_ID") or 0) == domain:
                found.append(process)
        except (psutil.Error, ValueError, OSError):
            continue  # it has ended, or belongs to somebody else
    where = f"namespace /{namespace.strip('/')} and ROS domain {domain}"
    if not found:
        raise ConfigError(
            f"no process '{name}' of a system in {where} is found on this computer, under this user. Start "
            "it here, or inject another fault."
        )
    if len(found) > 1:
        numbers = ", ".join(str(one.pid) for one in found)
        raise ConfigError(
            f"{len(found)} processes '{name}' in {where} run on this computer ({numbers}). End all but one."
        )
    return found[0]
