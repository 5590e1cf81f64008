"""What the steps of `workspace.py` share: paths, the choice of a ROS 2, prerequisites, small helpers."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STATE = VENV / ".openbms"  # our own records; a .venv without it was made by somebody else
SETUP_STAMP = STATE / "setup.json"
SCRATCH = ROOT / ".build"

WHEELS_DISTRO = "jazzy"
OLDEST_DISTRO = "jazzy"  # the names of ROS 2 distributions are alphabetical in time

# What a shell with some ROS sourced would leak into a build on the wheels.
ROS_VARIABLES = (
    "AMENT_CURRENT_PREFIX",
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_CURRENT_PREFIX",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PKG_CONFIG_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "ROS_DISTRO",
    "ROS_PYTHON_VERSION",
    "ROS_VERSION",
)
MAKE_VARIABLES = ("GNUMAKEFLAGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")

# The wheels' start-up hook runs every Python a second time unless this says that it has been done.
NO_SECOND_START = {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}


class SetupError(Exception):
    """Something that the user has to cure; the message says how."""


@dataclass(frozen=True)
class Flavour:
    """Where ROS 2 comes from: the wheels, or an installation that is sourced in this shell."""

    name: str  # "wheels" or "ros-install"
    distro: str
    prefixes: tuple[str, ...] = ()
    python: str = sys.executable

    @property
    def lock(self) -> Path:
        """The pinned requirements that belong to it."""
        return ROOT / "requirements" / f"{self.name}.lock"


class Progress:
    """Numbered lines on stdout: `[2/5] …`."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.started = time.monotonic()

    def step(self, text: str) -> None:
        """Say which step begins."""
        self.done += 1
        print(f"[{self.done}/{self.total}] {text}", flush=True)

    def finish(self, text: str) -> None:
        """Say that all is done, and how long it took."""
        print(f"      {text} ({time.monotonic() - self.started:.0f} s)", flush=True)


# Small helpers


def read_json(path: Path) -> dict[str, Any]:
    """Read a record; a missing or half-written one counts as none."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_atomically(path: Path, text: str, *, executable: bool = False) -> None:
    """Write a file that is either whole or absent, also when the writer is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(0o755 if executable else 0o644)
    temporary.replace(path)


def digest(*parts: object) -> str:
    """Hash strings, numbers and the contents of files (given as paths)."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else str(part).encode()
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def call(command: list[str], *, env: Mapping[str, str] | None = None, quiet: bool = False) -> int:
    """Run a command and return its exit code."""
    sink = subprocess.DEVNULL if quiet else None
    return subprocess.run(
        command, env=env, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, check=False
    ).returncode


def module_exists(python: str, module: str) -> bool:
    """Tell whether an interpreter can find a module."""
    script = f"import importlib.util as u; raise SystemExit(u.find_spec({module!r}) is None)"
    return call([python, "-c", script], env={**os.environ, **NO_SECOND_START}, quiet=True) == 0


def outer_environment(flavour: Flavour) -> dict[str, str]:
    """Give the caller's environment without what would leak into the build."""
    drop = {*MAKE_VARIABLES, "VIRTUAL_ENV"}
    if flavour.name == "wheels":
        drop.update(ROS_VARIABLES)
    env = {k: v for k, v in os.environ.items() if k not in drop}
    env["PATH"] = os.pathsep.join([str(VENV / "bin"), env.get("PATH", os.defpath)])
    env["VIRTUAL_ENV"] = str(VENV)  # CMake's FindPython3 prefers it over the newest Python of the machine
    return {**env, **NO_SECOND_START}


def sourced(script: Path, env: Mapping[str, str], shell: str = "bash") -> dict[str, str]:
    """Give the environment after a shell has sourced a script."""
    command = [shell, "-c", '. "$1" >&2 && env -0', shell, str(script)]
    result = subprocess.run(command, env=dict(env), stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise SetupError(f"{script} cannot be sourced (above).")
    pairs = (entry.split("=", 1) for entry in result.stdout.split("\0") if "=" in entry)
    return {k: v for k, v in pairs if k not in ("_", "SHLVL", "PWD", "OLDPWD")}


def minor_version(python: str) -> str:
    """Give `3.11` of an interpreter."""
    if os.path.realpath(python) == os.path.realpath(sys.executable):
        return f"{sys.version_info[0]}.{sys.version_info[1]}"
    result = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        env={**os.environ, **NO_SECOND_START},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip()


@contextlib.contextmanager
def workspace_lock() -> Iterator[None]:
    """Let one set-up or build run at a time in this checkout."""
    SCRATCH.mkdir(exist_ok=True)
    with (SCRATCH / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another make is at work in this checkout: waiting for it …", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# Which ROS 2


def inside_workspace(prefix: str) -> bool:
    """Tell whether a prefix is this workspace's own venv or install folder."""
    with contextlib.suppress(OSError):
        return Path(prefix).resolve().is_relative_to(ROOT)
    return False


def find_flavour() -> Flavour:
    """Take the ROS 2 installation that is sourced in this shell, else the wheels."""
    distro = os.environ.get("ROS_DISTRO", "")
    ament = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    prefixes = tuple(prefix for prefix in ament if prefix and not inside_workspace(prefix))
    if not distro or not prefixes:
        return Flavour("wheels", WHEELS_DISTRO)
    if distro < OLDEST_DISTRO:
        raise SetupError(
            f"ROS 2 {distro} is sourced in this shell; OpenBMS needs {OLDEST_DISTRO} or later.\n"
            "Use a shell in which it is not sourced: OpenBMS then brings its own ROS 2."
        )
    known = read_json(SETUP_STAMP)
    python = str(known.get("python", ""))
    if known.get("flavour") == "ros-install" and known.get("distro") == distro and Path(python).exists():
        return Flavour("ros-install", distro, prefixes, python)
    # rclpy is compiled for one Python; PYTHONPATH shows it to every other one too: only importing it tells.
    for python in dict.fromkeys((sys.executable, "/usr/bin/python3", shutil.which("python3") or "")):
        if python and call([python, "-c", "import rclpy"], quiet=True) == 0:
            return Flavour("ros-install", distro, prefixes, python)
    raise SetupError(
        f"ROS 2 {distro} is sourced in this shell ({os.pathsep.join(prefixes)}),\n"
        f"but no Python here can import its rclpy. Install it (sudo apt install ros-{distro}-rclpy),\n"
        "or use a shell in which ROS is not sourced."
    )


# What a machine must have


PYTHON_QUERY = """
import importlib.util as u, os, sys, sysconfig
print(int(u.find_spec("ensurepip") is not None and u.find_spec("venv") is not None))
print(int(os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))))
print(sys.implementation.name)
"""


def check_prerequisites(flavour: Flavour) -> None:
    """Name everything that is missing at once, with the line that cures it."""
    if platform.system() != "Linux":
        raise SetupError(f"OpenBMS runs on Linux, not on {platform.system()}: use a container there.")
    if flavour.name == "wheels" and platform.machine() != "x86_64":
        raise SetupError(
            f"ROS 2 wheels exist for x86_64 only; this machine is {platform.machine()}.\n"
            "Install ROS 2 from the ROS 2 apt repository (Ubuntu 24.04: sudo apt install ros-jazzy-ros-base\n"
            "ros-dev-tools), then:  . /opt/ros/jazzy/setup.bash && make setup"
        )
    problems: list[str] = []
    packages: list[str] = []
    for tool in ("g++", "cmake", "make", "git"):
        if shutil.which(tool) is None:
            problems.append(f"{tool} is not installed")
            packages.append(tool)

    python = flavour.python
    result = subprocess.run(
        [python, "-c", PYTHON_QUERY],
        env={**os.environ, **NO_SECOND_START},
        capture_output=True,
        text=True,
        check=True,
    )
    has_venv, has_headers, implementation = result.stdout.split()
    version = minor_version(python)
    apt_python = "python3" if Path(python).name == "python3" else f"python{version}"
    if implementation != "cpython":
        problems.append(f"{python} is {implementation}, not CPython")
    if has_venv == "0":
        problems.append(f"{python} has no venv module")
        packages.append(f"{apt_python}-venv")
    if has_headers == "0":
        problems.append(f"{python} has no header files (Python.h), which the messages are compiled with")
        packages.append(f"{apt_python}-dev")

    if flavour.name == "wheels":
        if version not in ("3.10", "3.11", "3.12", "3.13"):
            problems.append(f"{python} is Python {version}; ROS 2 wheels exist for 3.10 to 3.13")
        libc, libc_version = platform.libc_ver()
        if libc != "glibc" or tuple(int(part) for part in libc_version.split(".")[:2]) < (2, 28):
            problems.append(
                f"the ROS 2 wheels need glibc 2.28; here: {libc or 'another libc'} {libc_version}"
            )
    elif not module_exists(python, "numpy"):
        problems.append(f"{python} has no NumPy (on a ROS installation the distribution's is used)")
        packages.append("python3-numpy")
    if problems:
        message = "Missing on this machine:\n" + "".join(f"  - {problem}\n" for problem in problems)
        if packages:
            message += f"Debian, Ubuntu:  sudo apt install {' '.join(dict.fromkeys(packages))}"
        raise SetupError(message.rstrip())
