"""Nodes on a bus start without what only a replay of MF4 needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

_WHAT = """
import sys
import {module}
loaded = [name for name in ("asammdf", "pandas") if name in sys.modules]
from openbms_core.light_can import can, mf4_reader
reader = mf4_reader()
assert sys.modules["can.io.mf4"].MF4Reader is reader and "asammdf" in sys.modules
print(loaded)
"""


@pytest.mark.parametrize(
    "module",
    [
        "openbms_core.light_can",
        "openbms_drivers.pack_driver",
        "openbms_drivers.bus",
        "openbms_sim.twin_setup",
    ],
)
def test_python_can_comes_without_asammdf_until_it_is_needed(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WHAT.format(module=module)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
