"""Set up and build the workspace; the Makefile calls this.

    workspace.py setup    make `.venv` (ROS 2 wheels, or on top of a sourced ROS 2 installation)
    workspace.py build    setup, then `colcon build` of what changed, then the commands in `.venv/bin`

Both do nothing when nothing changed, and finish what an interrupted run left behind. They use the standard
library only.
"""

from __future__ import annotations

import argparse
import sys

from ws_build import build, build_is_current
from ws_common import Progress, SetupError, find_flavour, workspace_lock
from ws_venv import setup, setup_is_current


def main() -> int:
    """Run the step that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(";")[0])
    parser.add_argument("step", choices=["setup", "build"])
    build_too = parser.parse_args().step == "build"
    try:
        flavour = find_flavour()
        if setup_is_current(flavour) and not (build_too and not build_is_current(flavour)):
            return 0
        with workspace_lock():
            # Asked again: another make may have done it while this one waited.
            need_setup = not setup_is_current(flavour)
            need_build = build_too and (need_setup or not build_is_current(flavour))
            if not need_setup and not need_build:
                return 0
            progress = Progress(4 * need_setup + 2 * need_build)
            if need_setup:
                setup(flavour, progress)
            if need_build:
                build(flavour, progress)
            progress.finish("Ready.")
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next run goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
