"""Writes the estimate to its file: when it has changed, in a thread of its own, once more at the end."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from openbms_core.types import StateOfCharge
from openbms_estimation.soc.stored import StoredEstimate, save_estimate

__all__ = ["EstimateKeeper", "Kept"]

SHORTEST_S = 2.0
"""Never written more often than this [s]: a flash disk wears out."""
LONGEST_S = 60.0
"""Written at least this often [s]."""
STILL_SEEN_S = 5.0
"""A last scan older than this [s] says nothing of the end."""
CHANGE_SOC = 0.002
"""Written when a cell's state of charge has moved by this."""


class Kept(Protocol):
    """An estimator that can be kept."""

    @property
    def contactors_open(self) -> bool:
        """No current could flow in the last scan."""
        ...

    def stored(self, *, orderly: bool) -> StoredEstimate | None:
        """Give what is to be kept; None while there is nothing."""
        ...


class EstimateKeeper:
    """Keep the estimate of one pack on disk.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        """Why the last write failed; empty: it did not."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="estimate-keeper")
        self._writing: Future[None] | None = None
        self._at_s = self._seen_s = -np.inf
        self._soc: np.ndarray | None = None
        self._open = False

    def take(self, estimator: Kept, estimate: StateOfCharge, now_s: float) -> None:
        """Write the estimate if it is time to.

        Parameters
        ----------
        estimator : Kept
        estimate : StateOfCharge
            The state of charge that belongs to it.
        now_s : float
            Monotonic time [s].
        """
        self._seen_s = now_s
        if now_s - self._at_s < SHORTEST_S or not np.isfinite(estimate.cell_soc).any():
            return
        if self._writing is not None and not self._writing.done():
            return
        moved = np.inf if self._soc is None else np.nan_to_num(estimate.cell_soc - self._soc)
        changed = bool(np.any(np.abs(moved) >= CHANGE_SOC)) or estimator.contactors_open != self._open
        if not changed and now_s - self._at_s < LONGEST_S:
            return
        stored = estimator.stored(orderly=False)
        if stored is None:
            return
        self._at_s, self._soc, self._open = now_s, estimate.cell_soc.copy(), stored.contactors_open
        self._writing = self._thread.submit(self._write, stored)

    def _write(self, stored: StoredEstimate) -> None:
        try:
            save_estimate(self.path, stored)
            self.problem = ""
        except OSError as error:
            self.problem = f"{self.path}: the estimate cannot be kept ({error.strerror or error})"

    def close(self, estimator: Kept, now_s: float) -> None:
        """Write what the estimator knows at its orderly end.

        Parameters
        ----------
        estimator : Kept
        now_s : float
            Monotonic time [s].
        """
        self._thread.shutdown(wait=True)
        # one that was inactive for long does not know what happened meanwhile
        stored = estimator.stored(orderly=now_s - self._seen_s <= STILL_SEEN_S)
        if stored is not None:
            self._write(stored)
