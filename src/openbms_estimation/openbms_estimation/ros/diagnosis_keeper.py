"""Keeps what the diagnosis has seen over a restart, in the shape of the stored estimates."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from openbms_core.pack import LoadedPack
from openbms_estimation.diagnosis.pack_diagnoser import PackDiagnoser
from openbms_estimation.soc.stored import StoredEstimate, load_estimate, save_estimate

__all__ = ["DiagnosisKeeper"]

METHOD = "diagnosis"
PERIOD_S = 300.0
"""Written this often [s]: what is lost in a kill is that much of what was seen."""


class DiagnosisKeeper:
    """Keep the memory of one pack's diagnosis on disk.

    Parameters
    ----------
    path : Path
        The file.
    pack : LoadedPack
        What the memory belongs to.
    """

    def __init__(self, path: Path, pack: LoadedPack) -> None:
        self.path, self._pack = path, pack
        self.problem = ""
        """Why the last write failed; empty: it did not."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="diagnosis-keeper")
        self._writing: Future[None] | None = None
        self._at_s = math.nan

    def resume(self, make: Callable[[], PackDiagnoser]) -> tuple[PackDiagnoser, str]:
        """Make a diagnosis that goes on from what is on disk.

        Parameters
        ----------
        make : callable
            Makes a new one.

        Returns
        -------
        diagnoser : PackDiagnoser
        text : str
            What was done, in one sentence.
        """
        diagnoser = make()
        stored, problem = load_estimate(
            self.path, serial=self._pack.file.serial, config_hash=self._pack.config_hash, method=METHOD
        )
        if stored is None:
            return diagnoser, problem or "nothing was kept"
        try:
            diagnoser.resume(stored.arrays)
        except (ValueError, KeyError) as error:
            return make(), f"{self.path}: what was kept does not fit ({error}): the diagnosis starts anew."
        return diagnoser, f"going on with {diagnoser.observed_s / 3600.0:.1f} h of observation"

    def take(self, diagnoser: PackDiagnoser, now_s: float) -> None:
        """Write if it is time to.

        Parameters
        ----------
        diagnoser : PackDiagnoser
        now_s : float
            Monotonic time [s].
        """
        if math.isnan(self._at_s):
            self._at_s = now_s
        if now_s - self._at_s < PERIOD_S or (self._writing is not None and not self._writing.done()):
            return
        self._at_s = now_s
        self._writing = self._thread.submit(self._write, self._stored(diagnoser, orderly=False))

    def close(self, diagnoser: PackDiagnoser) -> None:
        """Write what was seen until the orderly end."""
        self._thread.shutdown(wait=True)
        if diagnoser.observed_s > 0.0:
            self._write(self._stored(diagnoser, orderly=True))

    def _stored(self, diagnoser: PackDiagnoser, *, orderly: bool) -> StoredEstimate:
        nothing = np.empty(0)
        return StoredEstimate(
            serial=self._pack.file.serial,
            config_hash=self._pack.config_hash,
            method=METHOD,
            stamp_s=diagnoser.blocks.last_s,
            scan_number=0,
            orderly=orderly,
            contactors_open=False,
            displayed_soc=math.nan,
            charge_counters_ah=nothing,
            cell_voltages_v=nothing,
            arrays=diagnoser.state(),
        )

    def _write(self, stored: StoredEstimate) -> None:
        try:
            save_estimate(self.path, stored)
            self.problem = ""
        except OSError as error:
            self.problem = f"{self.path}: what was seen cannot be kept ({error.strerror or error})"
