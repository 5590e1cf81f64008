"""From evidence to probabilities and alarms: Bayes' rule over the faults, and persistence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openbms_estimation.diagnosis.settings import DiagnosisSettings

__all__ = ["Alarms", "posterior"]

FloatArray = NDArray[np.float64]


def posterior(evidence: FloatArray, fit: FloatArray, prior_log_odds: float) -> FloatArray:
    """Give the probability of each fault of each place.

    Parameters
    ----------
    evidence, fit : ndarray, shape (places, faults)
        Logarithms of the likelihood ratios against health: for a fault of at least the least size, and for
        one of the most likely size. NaN: cannot be judged.
    prior_log_odds : float
        Of each fault.

    Returns
    -------
    ndarray, shape (places, faults)
        The rest to 1 is health. NaN where nothing of the place can be judged.
    """
    unknown = np.isnan(evidence).all(axis=1)
    strength = np.where(np.isnan(evidence), 0.0, evidence)
    odds = strength.max(axis=1) + prior_log_odds
    any_fault = 1.0 / (1.0 + np.exp(-np.clip(odds, -60.0, 60.0)))
    possible = strength > 0.0
    likely = np.where(possible, np.nan_to_num(fit), -np.inf)
    top = np.where(possible.any(axis=1), likely.max(axis=1), 0.0)
    share = np.exp(likely - top[:, None])
    total = share.sum(axis=1)
    share = share / np.where(total > 0.0, total, 1.0)[:, None]
    found = any_fault[:, None] * share
    found[unknown] = np.nan
    return np.asarray(found)


class Alarms:
    """Which places are in alarm: what is likely for long enough, until it is unlikely for long.

    Parameters
    ----------
    places : int
    settings : DiagnosisSettings
    hold_s : array_like, optional
        For how long each fault has to be likely [s]; absent: ``settings.alarm_s``.
    """

    def __init__(self, places: int, settings: DiagnosisSettings, hold_s: ArrayLike | None = None) -> None:
        self.settings = settings
        self._hold_s = np.atleast_1d(np.asarray(settings.alarm_s if hold_s is None else hold_s, float))
        self.active = np.zeros(places, bool)
        self._for_s, self._named_s = np.zeros((2, places))

    def step(self, probability: FloatArray, dt_s: float) -> NDArray[np.intp]:
        """Take the probabilities of every fault of each place; NaN changes nothing.

        Parameters
        ----------
        probability : ndarray, shape (places, faults)
        dt_s : float
            Observed time since the last call [s].

        Returns
        -------
        ndarray of int
            Places that have just gone into alarm.
        """
        s = self.settings
        with np.errstate(invalid="ignore"):
            any_fault, one = probability.sum(axis=1), probability.max(axis=1)
            likely, clear = any_fault >= s.alarm_probability, any_fault < s.clear_probability
            named = likely & (one >= s.alarm_probability * any_fault)
        self._for_s = np.where(np.where(self.active, clear, likely), self._for_s + dt_s, 0.0)
        self._named_s = np.where(named & ~self.active, self._named_s + dt_s, 0.0)
        hold_s = np.broadcast_to(self._hold_s, probability.shape[1:])[
            np.nan_to_num(probability).argmax(axis=1)
        ]
        turn = (self._named_s >= hold_s) | (self._for_s >= np.where(self.active, s.clear_s, s.unclear_s))
        self.active = self.active ^ turn
        self._for_s[turn] = self._named_s[turn] = 0.0
        return np.flatnonzero(turn & self.active)

    def withdraw(self, places: NDArray[np.bool_]) -> None:
        """End alarms at once that something else has explained."""
        self.active &= ~places
        self._for_s[places] = 0.0

    def state(self) -> dict[str, FloatArray]:
        """Give the state as arrays."""
        return {"active": self.active.astype(float), "for_s": self._for_s.copy()}

    def resume(self, state: Mapping[str, FloatArray]) -> None:
        """Take over a state (ValueError: it is of other places)."""
        active = np.asarray(state.get("active", np.nan), float)
        for_s = np.asarray(state.get("for_s", np.nan), float)
        if active.shape != self.active.shape or for_s.shape != active.shape or np.isnan(for_s).any():
            raise ValueError(f"alarms of {active.size} places, not of {self.active.size}")
        self.active, self._for_s = active > 0.5, for_s.copy()
