"""What a computer needs for OpenBMS, and how to get what is missing."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["Finding", "examine"]

OK, HINT, MISSING = 0, 1, 2
_IN_VENV = (
    "Run `make setup` in the checkout, or `pip install {name}` into the environment that runs the nodes."
)
_PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pydantic": "pydantic",
    "yaml": "pyyaml",
    "can": "python-can",
    "cantools": "cantools",
    "mcap": "mcap",
    "rosbags": "rosbags",
    "foxglove": "foxglove-sdk",
    "typer": "typer",
    "rich": "rich",
    "psutil": "psutil",
    "pyarrow": "pyarrow",
}
_OURS = (
    "openbms_msgs",
    "openbms_core",
    "openbms_drivers",
    "openbms_sim",
    "openbms_estimation",
    "openbms_control",
    "openbms_recorder",
    "openbms_dashboard",
)
_FREE_MB = 1000


@dataclass(frozen=True)
class Finding:
    """One thing looked at: level 0 good, 1 hint, 2 missing."""

    level: int
    what: str
    cure: str = ""


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(OK, f"Python {version} ({sys.executable})")


def _pydantic() -> Finding | None:
    try:
        version = importlib.metadata.version("pydantic")
    except importlib.metadata.PackageNotFoundError:
        return None
    if int(version.split(".")[0]) < 2:
        return Finding(
            MISSING,
            f"pydantic {version} is too old",
            "The distribution's package shadows ours: run `make setup`, then `. .venv/bin/activate`.",
        )
    return None


def _ros() -> Iterator[Finding]:
    if find_spec("rclpy") is None:
        yield Finding(
            MISSING,
            "rclpy (ROS 2) is missing",
            "Source a ROS 2 installation, or run `make setup` to get ROS 2 from PyPI.",
        )
        return
    yield Finding(OK, f"ROS 2 {os.environ.get('ROS_DISTRO', '(ROS_DISTRO is not set)')}")
    if find_spec("launch_ros") is None:
        yield Finding(
            HINT,
            "`ros2 launch` is not in this environment",
            "`openbms run` starts the same systems without it.",
        )


def _can() -> Finding:
    interfaces = []
    for path in sorted(Path("/sys/class/net").glob("*")):
        with contextlib.suppress(OSError):
            if (path / "type").read_text().strip() == "280":  # ARPHRD_CAN
                interfaces.append(path.name)
    if interfaces:
        return Finding(OK, f"CAN interfaces: {', '.join(interfaces)}")
    return Finding(
        HINT,
        "no CAN interface (the demonstration needs none)",
        "On a vehicle: sudo ip link set can0 up type can bitrate 500000",
    )


def _disk() -> Finding:
    folder = Path(
        os.environ.get("OPENBMS_DATA") or os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    ).expanduser()
    while not folder.exists():
        folder = folder.parent
    free_mb = shutil.disk_usage(folder).free / 1e6
    if free_mb < _FREE_MB:
        return Finding(
            HINT,
            f"only {free_mb:.0f} MB free for bags in {folder}",
            "Free some, or set OPENBMS_DATA elsewhere.",
        )
    return Finding(OK, f"{free_mb / 1000:.0f} GB free for bags in {folder}")


def examine() -> Iterator[Finding]:
    """Look at Python, packages, ROS 2, CAN and disk."""
    yield _python()
    missing = [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    for name in missing:
        yield Finding(MISSING, f"Python package {name} is missing", _IN_VENV.format(name=name))
    old = _pydantic()
    if old is not None:
        yield old
    if not missing:
        yield Finding(OK, f"{len(_PACKAGES)} Python packages")
    yield from _ros()
    absent = [name for name in _OURS if find_spec(name) is None]
    for name in absent:
        yield Finding(
            MISSING, f"{name} is not built or not sourced", "Run `make build`, or `. install/setup.bash`."
        )
    if not absent:
        yield Finding(OK, f"{len(_OURS)} OpenBMS packages")
    yield _can()
    yield _disk()
