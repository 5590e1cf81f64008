"""What two runs on one computer must not share: the ROS domain with a namespace, and ports."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from openbms_bringup.plan import free_port
from openbms_core.config_file import ConfigError

__all__ = ["DomainClaim", "check_namespace", "claim_domain", "claim_port", "domain_number"]

_DOMAINS = range(100)
"""Above 101 the ports of DDS fall into the range that Linux gives to outgoing connections."""
_LAST_DOMAIN = 232
"""Above it there are no ports."""


def domain_number(environment_value: str) -> int:
    """Read ``ROS_DOMAIN_ID`` (ConfigError where it is no domain)."""
    if not environment_value.isdigit() or int(environment_value) > _LAST_DOMAIN:
        raise ConfigError(
            f"ROS_DOMAIN_ID is '{environment_value}': it must be a number from 0 to 101 (to {_LAST_DOMAIN} "
            "where nothing else uses those ports). Set another, or unset it."
        )
    return int(environment_value)


def check_namespace(namespace: str) -> None:
    """Refuse what ROS does not take as a namespace (ConfigError)."""
    parts = namespace.strip("/").split("/")
    if parts != [""] and not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", part) for part in parts):
        raise ConfigError(
            f"--namespace '{namespace}': ROS wants letters, digits and underscores, no digit first, and '/' "
            "between parts. Give one such as bms or vehicle/bms."
        )


@dataclass
class DomainClaim:
    """A ROS domain and namespace that this run holds until ``release`` or its end.

    Attributes
    ----------
    domain : int
    moved_from : int or None
        The usual domain, where another run holds that one.
    """

    domain: int
    moved_from: int | None
    _file: TextIO

    def release(self) -> None:
        """Give it back."""
        self._file.close()


def _lock(folder: Path, domain: int, namespace: str) -> TextIO | str:
    """Lock a domain and namespace; give the open file, or who holds it."""
    path = folder / f"domain-{domain}-{namespace.strip('/').replace('/', '-') or 'root'}.lock"
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        return holder or "unknown"
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def claim_domain(namespace: str, environment_value: str | None, folder: Path | None = None) -> DomainClaim:
    """Claim the ROS domain for a namespace against other runs of this user on this computer.

    Parameters
    ----------
    namespace : str
        Namespace of the pack.
    environment_value : str or None
        ``ROS_DOMAIN_ID``; where it is not set, the first domain that no other run holds is taken.
    folder : Path, optional
        For the lock files; default: the user's runtime folder.

    Raises
    ------
    ConfigError
        The domain that was asked for is in use, or is no number.
    """
    if folder is None:
        folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"openbms-{os.getuid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"{folder}: the folder for locks cannot be made ({error.strerror}). Set XDG_RUNTIME_DIR to one "
            "that can be written, or unset it."
        ) from error
    if environment_value:
        domain = domain_number(environment_value)
        held = _lock(folder, domain, namespace)
        if isinstance(held, str):
            raise ConfigError(
                f"ROS domain {domain} with namespace /{namespace.strip('/')} is in use by another openbms "
                f"run (process {held}): the two would mix. Set another ROS_DOMAIN_ID or --namespace, or end "
                "that one."
            )
        return DomainClaim(domain, None, held)
    for domain in _DOMAINS:
        held = _lock(folder, domain, namespace)
        if not isinstance(held, str):
            return DomainClaim(domain, None if domain == 0 else 0, held)
    raise ConfigError("Every ROS domain is in use by another openbms run. End one of them.")


def claim_port(host: str, wanted: int) -> int:
    """Give ``wanted`` where it is free, another free port where not."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError:
            return free_port(host)
    return wanted
