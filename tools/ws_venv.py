"""The virtual environment: made, filled from the lock file, and made fit to build on."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ws_common import (
    NO_SECOND_START,
    OLDEST_DISTRO,
    ROOT,
    SCRATCH,
    SETUP_STAMP,
    STATE,
    VENV,
    VENV_PYTHON,
    WHEELS_DISTRO,
    Flavour,
    Progress,
    SetupError,
    call,
    check_prerequisites,
    digest,
    minor_version,
    module_exists,
    outer_environment,
    read_json,
    sourced,
    write_atomically,
)

# Raise to make every existing workspace be set up again after a change here that needs it.
SETUP_VERSION = 1

# Of the lock for a ROS installation, what an installation usually has itself; its own is then used.
OF_THE_INSTALLATION = {"colcon-": "colcon_ros", "catkin-pkg": "catkin_pkg", "empy": "em"}

NEEDED_MODULES = (
    "rclpy, sensor_msgs.msg, numpy, scipy, pydantic, can, cantools, mcap, rosbags, foxglove, pyarrow, typer, "
    "colcon_core, colcon_ros, em, lark"
)


def identity(flavour: Flavour) -> dict[str, str]:
    """Say of which kind a venv is; one of another kind is made again from nothing."""
    return {
        "version": str(SETUP_VERSION),
        "flavour": flavour.name,
        "distro": flavour.distro,
        "root": str(ROOT),  # a venv does not survive being moved
        "python": flavour.python,
        "python_version": minor_version(flavour.python),  # changes with an upgrade of the system
    }


def same_kind(flavour: Flavour) -> bool:
    """Tell whether there is a completely set up venv of this kind, whatever lock it was filled from."""
    stamp = read_json(SETUP_STAMP)
    if not stamp or not VENV_PYTHON.exists():
        return False
    if flavour.name == "wheels" and not os.environ.get("PYTHON"):
        # Another python3 came to stand first in the PATH: no reason to leave the one that works.
        python = str(stamp.get("python", ""))
        flavour = Flavour(flavour.name, flavour.distro, flavour.prefixes, python)
        if not Path(python).exists():
            return False
    want = identity(flavour)
    # One interpreter has several names (python3, python3.11).
    want["python"] = os.path.realpath(want["python"])
    stamp["python"] = os.path.realpath(str(stamp.get("python", "")))
    return all(stamp.get(key) == value for key, value in want.items())


def setup_fingerprint(flavour: Flavour) -> str:
    """Hash what the contents of the venv depend on."""
    return digest(SETUP_VERSION, str(ROOT), flavour.name, flavour.distro, *lock_lines(flavour))


def setup_is_current(flavour: Flavour) -> bool:
    """Tell whether nothing would be set up."""
    return read_json(SETUP_STAMP).get("fingerprint") == setup_fingerprint(flavour) and same_kind(flavour)


def make_venv(flavour: Flavour) -> None:
    """Create an empty venv, in place of whatever an interrupted run or the other flavour left."""
    if VENV.exists():
        if not STATE.exists():
            raise SetupError(f"{VENV} was not made by this set-up: move it away, then run again.")
        # Our mark goes last: a removal that is interrupted too is then taken up again.
        for entry in VENV.iterdir():
            if entry == STATE:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    STATE.mkdir(parents=True, exist_ok=True)
    # A plain `colcon build` would else take the packages in the venv for a part of the workspace.
    (VENV / "COLCON_IGNORE").touch()
    command = [flavour.python, "-m", "venv"]
    if flavour.name == "ros-install":
        command.append("--system-site-packages")
    command.append(str(VENV))
    if call(command, env={**os.environ, **NO_SECOND_START}) != 0:
        raise SetupError(
            f"`{shlex.join(command)}` failed (above). Debian, Ubuntu:  sudo apt install python3-venv"
        )


def lock_lines(flavour: Flavour) -> list[str]:
    """Give the lines of the lock without its comments."""
    lines = (line.strip() for line in flavour.lock.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def locked_requirements(flavour: Flavour) -> list[str]:
    """Give the lines of the lock that apply on this machine."""
    lines = lock_lines(flavour)
    if flavour.name == "ros-install":
        for prefix, module in OF_THE_INSTALLATION.items():
            if module_exists(flavour.python, module):
                lines = [line for line in lines if not line.startswith(prefix)]
    return lines


def install_requirements(flavour: Flavour, env: Mapping[str, str]) -> None:
    """Install the lock with pip, saying how far it is."""
    lines = locked_requirements(flavour)
    chosen = STATE / "requirements.txt"
    write_atomically(chosen, "\n".join(lines) + "\n")
    # --no-deps: the lock is complete, and nothing else shall come in (a second NumPy on a ROS installation).
    command = [str(VENV_PYTHON), "-m", "pip", "install", "--no-deps", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--requirement", str(chosen)]
    log = SCRATCH / "pip.log"
    names = {line.partition("==")[0] for line in lines}  # some stand there once for each Python
    fetched = 0
    shown = time.monotonic()
    with log.open("w") as sink:
        process = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            sink.write(line)
            if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                fetched += 1
                if time.monotonic() - shown > 5:
                    print(f"      {fetched} of {len(names)} packages fetched …", flush=True)
                    shown = time.monotonic()
            elif line.startswith("Installing collected packages"):
                print(f"      {fetched} packages fetched; unpacking them …", flush=True)
    if process.wait() != 0:
        errors = [line for line in log.read_text().splitlines() if line.startswith("ERROR")]
        raise SetupError(
            "pip could not install the pinned packages:\n"
            + "".join(f"  {line}\n" for line in errors[-5:])
            + f"The whole log: {log}\nIf the network failed: run the same command again."
        )


def repair_wheels() -> None:
    """Make the ROS 2 wheels usable as an underlay of colcon.

    They carry the include folders of the machine that built them, and no prefix-level `local_setup`.
    """
    query = "import sysconfig, numpy; print(sysconfig.get_paths()['include']); print(numpy.get_include())"
    result = subprocess.run(
        [str(VENV_PYTHON), "-c", query],
        env={**os.environ, **NO_SECOND_START},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise SetupError(f"NumPy does not import in {VENV}:\n{result.stderr}")
    include, numpy_include = result.stdout.splitlines()
    rewrites = (
        (re.compile(r"/opt/python/cp[^;\"]*/site-packages/numpy/[^;\"]*"), numpy_include),
        (re.compile(r"/opt/python/cp[^;\"]*/include/python3\.\d+"), include),
    )
    for path in VENV.glob("share/*/cmake/*.cmake"):
        text = path.read_text()
        if "/opt/python/" in text:
            for pattern, folder in rewrites:
                text = pattern.sub(folder.replace("\\", r"\\"), text)
            write_atomically(path, text)

    site = next(VENV.glob("lib/python3.*/site-packages"))
    libraries = [VENV / "lib", *sorted(folder for folder in site.glob("ros_*.libs") if folder.is_dir())]
    values = [("LD_LIBRARY_PATH", library) for library in reversed(libraries)]
    values += [("PATH", VENV / "bin"), ("AMENT_PREFIX_PATH", VENV), ("CMAKE_PREFIX_PATH", VENV)]
    lines = [
        "# Makes the ROS 2 wheels in this folder an underlay, as /opt/ros/<distro>/local_setup does.",
        "# Their own share/*/local_setup.* name folders of the machine that built them: do not source them.",
        "_openbms_prepend() {",
        '    eval "_openbms_now=\\${$1:-}"',
        '    case ":$_openbms_now:" in',
        '        *":$2:"*) ;;',
        '        "::") export "$1=$2" ;;',
        '        *) export "$1=$2:$_openbms_now" ;;',
        "    esac",
        "    unset _openbms_now",
        "}",
        *(f"_openbms_prepend {name} {shlex.quote(str(value))}" for name, value in values),
        "unset -f _openbms_prepend",
        f"export ROS_DISTRO={WHEELS_DISTRO}",
        "export ROS_VERSION=2",
        "export ROS_PYTHON_VERSION=3",
        "# Keeps each Python here from starting itself a second time, with these libraries in random order.",
        "export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1",
    ]
    for name in ("local_setup.sh", "local_setup.bash", "local_setup.zsh"):
        write_atomically(VENV / name, "\n".join(lines) + "\n")


def build_environment(flavour: Flavour) -> dict[str, str]:
    """Give the environment to build in: the caller's with ROS 2 as the underlay."""
    env = outer_environment(flavour)
    return sourced(VENV / "local_setup.sh", env, shell="sh") if flavour.name == "wheels" else env


def hint_at_installation() -> None:
    """Say that a ROS 2 installation stands unused, since that is seldom what its owner wants."""
    found = sorted(folder.name for folder in Path("/opt/ros").glob("*") if folder.name >= OLDEST_DISTRO)
    if found:
        print(f"      ROS 2 {found[-1]} is installed but not sourced in this shell. To use it:")
        print(f"      . /opt/ros/{found[-1]}/setup.bash", flush=True)


def setup(flavour: Flavour, progress: Progress) -> None:
    """Bring the virtual environment up to date with the lock."""
    progress.step("Checking what this machine has")
    check_prerequisites(flavour)
    if flavour.name == "wheels":
        hint_at_installation()

    # pip can take the difference into a venv that was once complete. Nothing else is trusted: a package that
    # was being unpacked when its pip was killed looks installed.
    update = same_kind(flavour)
    record = {key: read_json(SETUP_STAMP)[key] for key in identity(flavour)} if update else identity(flavour)
    SETUP_STAMP.unlink(missing_ok=True)
    if update:
        progress.step("The locked packages changed: updating .venv")
    else:
        source = "the ROS 2 wheels" if flavour.name == "wheels" else f"ROS 2 {flavour.distro} of this machine"
        progress.step(f"Creating .venv for {source}, with {flavour.python}")
        make_venv(flavour)

    progress.step(f"Installing requirements/{flavour.lock.name} (minutes; log in .build/pip.log)")
    install_requirements(flavour, outer_environment(flavour))

    progress.step("Making .venv fit to build on")
    if flavour.name == "wheels":
        repair_wheels()
    if call([str(VENV_PYTHON), "-c", f"import {NEEDED_MODULES}"], env=build_environment(flavour)) != 0:
        raise SetupError("What was installed cannot be imported (above). Delete .venv, then run again.")
    record["fingerprint"] = setup_fingerprint(flavour)
    write_atomically(SETUP_STAMP, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit("This is a part of workspace.py: run that.")
