#!/bin/sh
# Renew requirements/*.lock from requirements/*.in (`make lock`), and run `make test` afterwards. UPGRADE=0 keeps the present
# versions where they still fit.
#
# One lock serves several Pythons through markers. Hashes are left out on purpose: pip would then refuse the same release
# from an index that rebuilt it, and the versions are what has been tested. No address of an index may reach the files.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

echo "[1/3] Fetching uv"
"${PYTHON:-python3}" -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet uv
# uv does not read pip's configuration.
if [ -z "${UV_DEFAULT_INDEX:-}" ] && index=$($pip config get global.index-url 2>/dev/null); then
    export UV_DEFAULT_INDEX="$index"
fi

# compile <lock> <environments> <arguments of uv …>
compile() {
    lock=$1
    environments=$2
    shift 2
    cp "$root"/requirements/*.in "$work/"
    printf '[project]\nname = "openbms"\nversion = "0"\n[tool.uv]\nenvironments = ["%s"]\n' "$environments" >"$work/pyproject.toml"
    rm -f "$work/$lock"
    [ "${UPGRADE:-1}" = 1 ] || cp "$root/requirements/$lock" "$work/$lock"
    (cd "$work" && venv/bin/uv pip compile --universal --quiet --no-header --no-emit-index-url --no-emit-find-links \
        --output-file "$lock" "$@" >/dev/null)
    { echo "# Written by \`make lock\` from requirements/*.in: do not edit."; cat "$work/$lock"; } >"$work/new"
    # What holds on every machine that is set up at all would hide the markers that matter.
    sed -i "s/ and platform_machine == 'x86_64'//; s/ and sys_platform == 'linux'//; s/ ; sys_platform == 'linux'\$//" "$work/new"
    if [ "$lock" = wheels.lock ]; then
        sed -i "s/ and python_full_version < '3.14'\$//; s/ ; python_full_version < '3.14'\$//" "$work/new"
    fi
    if grep -n '://' "$work/new"; then
        echo "An address reached $lock (above); nothing was written." >&2
        exit 1
    fi
    mv "$work/new" "$root/requirements/$lock"
}

echo "[2/3] requirements/wheels.lock"
compile wheels.lock "sys_platform == 'linux' and platform_machine == 'x86_64' and python_version < '3.14'" \
    --python-version 3.10 ros-jazzy.in generators.in colcon.in runtime.in dev.in
echo "[3/3] requirements/ros-install.lock"
compile ros-install.lock "sys_platform == 'linux'" \
    --python-version 3.12 --constraint ros-install-constraints.in --no-emit-package numpy colcon.in runtime.in dev.in
