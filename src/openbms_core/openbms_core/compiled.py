"""Loops that are worth compiling: by Numba where it is installed, as they stand where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

__all__ = ["HAS_COMPILER", "choose", "compiled"]

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


def choose(condition: Any, yes: Any, no: Any) -> Any:
    """Give ``yes`` where the condition holds, else ``no``: arithmetic written once for arrays and numbers.

    With arrays this is :func:`numpy.where`. In a compiled loop over numbers it is a plain choice: there
    ``numpy.where`` makes an array at every call, which costs more than all the arithmetic around it.
    """
    return np.where(condition, yes, no)


if HAS_COMPILER:
    from numba.extending import overload

    @overload(choose)
    def _choose_number(condition, yes, no):  # type: ignore[no-untyped-def]  # as the function it gives, by rule
        return lambda condition, yes, no: yes if condition else no
