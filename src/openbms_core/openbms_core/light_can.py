"""python-can as a running node needs it: without asammdf, which it would load to be able to read MF4.

asammdf brings pandas. Loaded at each start it would cost every process on a CAN bus several times the memory
and the time that python-can takes itself, for a kind of file that only a replay reads.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, cast

__all__ = ["can", "mf4_reader"]

_HEAVY = "asammdf"

if "can" not in sys.modules and _HEAVY not in sys.modules:
    cast("dict[str, Any]", sys.modules)[_HEAVY] = None  # an import of it fails, and python-can goes without
    try:
        importlib.import_module("can")
    finally:
        del sys.modules[_HEAVY]

import can  # noqa: E402


def _closed(reader: Any) -> None:
    with contextlib.suppress(Exception):
        reader.close()


def mf4_reader() -> Any:
    """Give python-can's reader of MF4, with asammdf.

    Raises
    ------
    ModuleNotFoundError
        asammdf is not installed.
    """
    # it raises in its end where a file could not be read, which would be printed behind our own sentence
    reader = importlib.import_module(f"{_HEAVY}.blocks.mdf_v4").MDF4
    reader.__del__ = _closed
    module = importlib.import_module("can.io.mf4")
    if module.asammdf is None:
        module = importlib.reload(module)
    return module.MF4Reader
