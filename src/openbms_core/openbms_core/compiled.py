"""Loops that are worth compiling: by Numba where it is installed, as they stand where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["HAS_COMPILER", "compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])

njit: Any = None
try:
    from numba import njit as _njit
except ImportError:  # no wheel for this Python or machine: the same loop, interpreted
    pass
else:
    njit = _njit

HAS_COMPILER = njit is not None
"""Whether loops are compiled; estimators choose NumPy where they are not."""


def compiled(function: Function) -> Function:
    """Compile a function at its first call; the result is kept on disk beside the source.

    Where that folder cannot be written, Numba takes the user's cache folder (``NUMBA_CACHE_DIR``).
    """
    return cast(Function, njit(cache=True, nogil=True)(function)) if HAS_COMPILER else function
