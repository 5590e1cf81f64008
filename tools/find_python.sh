#!/bin/sh
# Print the Python that the workspace is set up with: $PYTHON if given, else the first that is CPython 3.10-3.13,
# has its venv module and its headers (the message package compiles against them). Where none is complete, the first
# of a right version, so that the set-up can name what it lacks.
#
# With a ROS 2 installation sourced, rclpy is compiled for one Python: the set-up checks that itself, and newer ones are fine.
set -u

upper=13
[ -n "${ROS_DISTRO:-}" ] && [ -n "${AMENT_PREFIX_PATH:-}" ] && upper=99

version_is_right() {
    "$1" -c "import sys; sys.exit(not ((3, 10) <= sys.version_info[:2] <= (3, $upper)))" 2>/dev/null
}
is_complete() {
    "$1" -c "import ensurepip, os, sysconfig, venv
raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_paths()['include'], 'Python.h')))" 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
elif [ "$upper" = 99 ]; then
    candidates="/usr/bin/python3 python3"
else
    candidates="python3 /usr/bin/python3 python3.12 python3.11 python3.13 python3.10"
fi

usable=""
for candidate in $candidates; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    version_is_right "$candidate" || continue
    if is_complete "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
    [ -n "$usable" ] || usable=$(command -v "$candidate")
done
if [ -n "$usable" ]; then
    echo "$usable"
    exit 0
fi

found=$(python3 --version 2>&1 || true)
{
    echo "OpenBMS needs Python 3.10 to 3.13; here: ${PYTHON:+PYTHON=$PYTHON, }${found:-no python3}."
    echo "Debian 12, Ubuntu 22.04 and later:  sudo apt install python3 python3-venv python3-dev"
    echo "or name another one:                make PYTHON=/path/to/python3.12"
} >&2
exit 1
