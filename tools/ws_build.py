"""The build: colcon over what changed, and the commands in `.venv/bin`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ws_common import (
    ROOT,
    VENV,
    VENV_PYTHON,
    Flavour,
    Progress,
    SetupError,
    call,
    digest,
    read_json,
    sourced,
    write_atomically,
)
from ws_venv import build_environment, lock_lines

# Raise to make every existing workspace be built again after a change here that needs it.
BUILD_VERSION = 1

SRC = ROOT / "src"
BUILD_STAMP = ROOT / "install" / ".openbms-build.json"
ENV_COMMAND = VENV / "bin" / "openbms-env"
CLI_COMMAND = VENV / "bin" / "openbms"

# Of the lock, what generated messages and installed commands come out of. A new test tool rebuilds nothing.
COMPILED_WITH = ("ros-", "numpy==", "empy==", "lark-parser==", "catkin-pkg==", "setuptools==", "colcon-")

Inputs = dict[str, str]  # file of a package -> hash of its content, or "" where only its being there counts


def find_packages() -> dict[str, Path]:
    """Find the packages of the workspace, by name."""
    ignore = ("COLCON_IGNORE", "AMENT_IGNORE")
    folders = (path.parent for path in sorted(SRC.glob("*/package.xml")))
    return {folder.name: folder for folder in folders if not any((folder / mark).exists() for mark in ignore)}


def package_inputs(folder: Path) -> Inputs:
    """Collect what a package must be built again for.

    Python files, launch files and configuration are installed as links: of those, only new and removed
    ones count, and of Python files not even these.
    """
    inputs: Inputs = {}
    for name in ("package.xml", "setup.py", "setup.cfg", "CMakeLists.txt"):
        if (folder / name).exists():
            inputs[name] = digest(folder / name)
    for sub, by_content in (
        ("msg", True),
        ("srv", True),
        ("action", True),
        ("launch", False),
        ("config", False),
    ):
        for path in sorted((folder / sub).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                inputs[path.relative_to(folder).as_posix()] = digest(path) if by_content else ""
    for path in folder.glob("*/__init__.py"):
        inputs[path.parent.name + "/"] = ""
    return inputs


def environment_fingerprint(flavour: Flavour) -> str:
    """Hash what makes every package be built again."""
    python = next(VENV.glob("lib/python3.*")).name
    compiled_with = [line for line in lock_lines(flavour) if line.startswith(COMPILED_WITH)]
    return digest(
        BUILD_VERSION, str(ROOT), flavour.name, flavour.distro, *flavour.prefixes, python, *compiled_with
    )


def built_packages(flavour: Flavour) -> dict[str, Inputs]:
    """Give what the install folder holds, as far as it was built with the present environment."""
    record = read_json(BUILD_STAMP)
    if record.get("environment") != environment_fingerprint(flavour):
        return {}
    packages: dict[str, Inputs] = record["packages"]
    return packages


def write_build_stamp(flavour: Flavour, packages: dict[str, Inputs]) -> None:
    """Record what the install folder holds."""
    record = {"environment": environment_fingerprint(flavour), "packages": packages}
    write_atomically(BUILD_STAMP, json.dumps(record, indent=1) + "\n")


def build_is_current(flavour: Flavour) -> bool:
    """Tell whether nothing would be built."""
    if not (ENV_COMMAND.exists() and CLI_COMMAND.exists()):
        return False
    return built_packages(flavour) == {name: package_inputs(path) for name, path in find_packages().items()}


def remove_package(name: str) -> None:
    """Take a package out of the build and install folders."""
    for base in ("build", "install"):
        shutil.rmtree(ROOT / base / name, ignore_errors=True)


def build(flavour: Flavour, progress: Progress) -> None:
    """Build what changed and write the commands."""
    done = built_packages(flavour)
    if not done:
        for base in ("build", "install"):
            shutil.rmtree(ROOT / base, ignore_errors=True)
    packages = find_packages()
    wanted = {name: package_inputs(path) for name, path in packages.items()}
    changed = [name for name in wanted if done.get(name) != wanted[name]]
    for name in set(done) - set(wanted):
        remove_package(name)
    for name in changed:
        # What was removed from the sources would stay installed. Changed messages alone are left to CMake.
        removed = set(done.get(name, ())) - set(wanted[name])
        if removed or not (packages[name] / "CMakeLists.txt").exists():
            remove_package(name)

    progress.step(describe(changed, wanted))
    if changed:
        if BUILD_STAMP.exists():
            write_build_stamp(flavour, {name: inputs for name, inputs in done.items() if name not in changed})
        colcon(flavour, changed)
    progress.step("Writing .venv/bin/openbms and .venv/bin/openbms-env")
    write_commands()
    write_build_stamp(flavour, wanted)


def describe(changed: list[str], wanted: dict[str, Inputs]) -> str:
    """Say what is going to be built."""
    if not changed:
        return "Building nothing: all packages are up to date"
    what = f"all {len(changed)} packages" if len(changed) == len(wanted) else ", ".join(changed)
    return f"Building {what} (logs in log/latest_build)"


def colcon(flavour: Flavour, packages: list[str]) -> None:
    """Run `colcon build` for some packages."""
    env = build_environment(flavour)
    # colcon's symlink install stands on `setup.py develop`, which announces its own end at each call.
    env["PYTHONWARNINGS"] = "ignore"
    # By the venv's Python, so that the commands that it installs start with the venv's Python.
    command = [str(VENV_PYTHON), "-c", "from colcon_core.command import main; raise SystemExit(main())"]
    # --base-paths: colcon would else take the venv for a part of the workspace.
    command += [
        "--log-base",
        "log",
        "build",
        "--base-paths",
        "src",
        "--symlink-install",
        "--continue-on-error",
    ]
    command += ["--packages-select", *packages]
    command += ["--cmake-args", "-DBUILD_TESTING=OFF", "-DCMAKE_BUILD_TYPE=Release", "--no-warn-unused-cli"]
    if subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise SetupError("The build failed (above; whole logs in log/latest_build).")


# The commands

PREPENDED = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PATH",
    "PKG_CONFIG_PATH",
    "PYTHONPATH",
)

START = '''"""Start of the `openbms` command."""

import sys

from openbms_bringup.cli.main import app

sys.exit(app())
'''


def write_commands() -> None:
    """Write the commands that work from any folder with nothing sourced.

    They carry the environment that sourcing the built workspace makes out of an empty one; sourcing it at
    each start would take most of a second.
    """
    bare = {"HOME": os.environ.get("HOME", "/"), "PATH": "/usr/bin:/bin"}
    # colcon's scripts would call the venv's Python unquoted, which a space in the checkout's path breaks.
    bare["COLCON_PYTHON_EXECUTABLE"] = sys.executable
    after = sourced(ROOT / "install" / "setup.bash", bare)
    plain = {
        name: value for name, value in after.items() if name not in PREPENDED and bare.get(name) != value
    }
    added = {}
    for name in PREPENDED:
        known = bare.get(name, "").split(os.pathsep)
        parts = [part for part in after.get(name, "").split(os.pathsep) if part and part not in known]
        if name == "PATH":  # on a ROS installation the workspace knows nothing of the venv
            parts = [str(VENV / "bin"), *(part for part in parts if part != str(VENV / "bin"))]
        if parts:
            added[name] = os.pathsep.join(parts)
    plain["VIRTUAL_ENV"] = str(VENV)
    # Without it a message field of the wrong length is sent with the memory that lies behind it.
    plain["ROS_PYTHON_CHECK_FIELDS"] = "1"
    lines = [
        "#!/bin/sh",
        "# Written by `make build`: runs a command with the environment of this workspace, from any folder.",
        "prepend() {",
        '    eval "now=\\${$1:-}"',
        '    case "$now:" in',
        '        "$2:"*) ;;',
        '        ":") export "$1=$2" ;;',
        '        *) export "$1=$2:$now" ;;',
        "    esac",
        "}",
        *(f"prepend {name} {shlex.quote(value)}" for name, value in sorted(added.items())),
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(plain.items())),
        "# Closed unless opened: no other machine sees the topics until the user says so.",
        'export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"',
        'exec "$@"',
    ]
    write_atomically(ENV_COMMAND, "\n".join(lines) + "\n", executable=True)

    # A file, not `python -m`: that would look for every import in the folder in which the user stands first.
    start = VENV / "libexec" / "openbms"
    write_atomically(start, START)
    command = " ".join(shlex.quote(str(path)) for path in (ENV_COMMAND, VENV_PYTHON, start))
    lines = [
        "#!/bin/sh",
        "# Written by `make build`: the OpenBMS command line, from any folder.",
        f'exec {command} "$@"',
    ]
    write_atomically(CLI_COMMAND, "\n".join(lines) + "\n", executable=True)

    check = "import rclpy, openbms_core, openbms_msgs.msg"
    if call([str(ENV_COMMAND), str(VENV_PYTHON), "-c", check], env=bare) != 0:
        raise SetupError("What was built cannot be imported (above).")
