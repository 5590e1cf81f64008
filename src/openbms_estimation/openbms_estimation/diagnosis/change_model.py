"""Has a parameter of a linear model changed, when, and by how much: generalised likelihood ratio over onsets.

Many series (cells, sensors) share the regressors ``phi`` of one linear model ``y = phi·theta + noise``. What
was seen is kept as normal equations of epochs that get longer the older they are (an exponential histogram,
M. Datar et al., *SIAM J. Comput.* 31, 2002), so that the memory is bounded and every kept boundary between
epochs can be tried as the onset of a change ``y += phi·w·delta``. Test: A. Willsky, H. Jones, *IEEE Trans.
Autom. Control* 21, 1976 (generalised likelihood ratio); M. Basseville, I. Nikiforov, *Detection of Abrupt
Changes*, 1993, ch. 7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ChangeModel", "Evaluation", "crowd_variance"]

FloatArray = NDArray[np.float64]

_LEVEL_EPOCHS = 3
"""As soon as so many epochs have the same length, the two oldest of them become one."""
_FORGOTTEN = 1e-3
_CROWD = 3
_HELD = 8
_LARGE_CROWD = 24
_PRIOR_COUNT = 6.0
"""The assumed noise counts like so many independent samples against what is seen."""


_FAULTY_SHARE = 0.035
"""So large a part of the series may be faulty at once without taking the others for as noisy."""
_NORMAL_MEDIAN, _NORMAL_TAIL = 0.6745, 2.11


def crowd_variance(score: FloatArray) -> FloatArray:
    """Give the variance of standardised scores as the crowd of the series shows it; at least 1.

    An empirical null distribution (B. Efron, *J. Am. Stat. Assoc.* 99, 2004): what the assumed noise leaves
    out moves many series at once, a fault one of them. From the median of the magnitudes, and from the one
    that only 3.5 % of the series exceed.

    Parameters
    ----------
    score : ndarray, shape (…, series)

    Returns
    -------
    ndarray, shape (…)
    """
    series = score.shape[-1]
    if series < _CROWD:
        return np.ones(score.shape[:-1])
    faulty = math.ceil(_FAULTY_SHARE * series) if series >= _LARGE_CROWD else 1
    middle, tail = series // 2, series - 1 - faulty
    ordered = np.partition(np.abs(score), [middle, tail], axis=-1)
    scale = np.maximum(ordered[..., middle] / _NORMAL_MEDIAN, ordered[..., tail] / _NORMAL_TAIL)
    return np.asarray(np.maximum(scale, 1.0) ** 2)


@dataclass(frozen=True)
class Evaluation:
    """What the data say of each change; axes: onset (oldest first), kind of change, series.

    Attributes
    ----------
    onset_s : ndarray, shape (onsets,)
        Time of each onset that was tried [s]; the first is the beginning of what is remembered.
    theta : ndarray, shape (p, series)
        Parameters without any change.
    theta_std : ndarray, shape (p,)
        Their standard deviation at the assumed noise.
    delta : ndarray, shape (onsets, kinds, series)
        Most likely size of the change.
    information : ndarray, shape (onsets, kinds)
        1 / variance of ``delta`` at the assumed noise.
    inflation : ndarray, shape (series,)
        Variance of the noise that was seen, relative to the assumed one; at least 1.
    """

    onset_s: FloatArray
    theta: FloatArray
    theta_std: FloatArray
    delta: FloatArray
    information: FloatArray
    inflation: FloatArray


class ChangeModel:
    """A linear model of several series, and the memory of what was seen of them.

    Parameters
    ----------
    series : int
        Number of series.
    prior_std : array_like, shape (p,)
        Standard deviation of each parameter between healthy series, around 0.
    epoch_s : float
        Length of the shortest epochs [s of observation].
    half_life_s : float
        What was seen this long ago counts half [s].
    """

    def __init__(
        self,
        series: int,
        prior_std: ArrayLike,
        *,
        epoch_s: float = 300.0,
        half_life_s: float = 14 * 86400.0,
    ) -> None:
        self.series = series
        self.prior = np.asarray(prior_std, float) ** -2.0
        self.p = len(self.prior)
        self.epoch_s, self.half_life_s = epoch_s, half_life_s
        self._clear()

    def _clear(self) -> None:
        p, n = self.p, self.series
        self._a = np.zeros((0, p, p))
        self._b = np.zeros((0, p, n))
        self._yy = np.zeros((0, n))
        # level, onset [s], end [s], observed [s], effective samples, reference
        self._meta = np.zeros((0, 6))
        self._pinned: set[float] = set()

    @property
    def epochs(self) -> int:
        """Epochs in memory."""
        return len(self._meta)

    def add(
        self,
        phi: FloatArray,
        y: FloatArray,
        *,
        weight: float,
        samples: float,
        time_s: float,
        duration_s: float,
        reference: float = 0.0,
    ) -> None:
        """Take one observation of all series.

        Parameters
        ----------
        phi : ndarray, shape (p,)
            Regressors.
        y : ndarray, shape (series,)
            Observed; NaN: not observed (it then counts as what is expected).
        weight : float
            1 / variance of the noise, times ``samples``.
        samples : float
            Independent samples that this counts for.
        time_s, duration_s : float
            End and length of the observation [s].
        reference : float
            A value that the onset of a change may depend on, such as the state of charge.
        """
        # what may have changed while nothing was observed must not hide within an epoch
        silent = self.epochs > 0 and time_s - duration_s - self._meta[-1, 2] > self.epoch_s
        if self.epochs == 0 or silent or self._meta[-1, 3] >= self.epoch_s:
            self._open(time_s, duration_s, reference)
        missing = np.isnan(y)
        if missing.any():
            y = np.where(missing, phi @ self._guess() if not missing.all() else 0.0, y)
        weighted = weight * phi
        self._a[-1] += np.multiply.outer(weighted, phi)
        self._b[-1] += np.multiply.outer(weighted, y)
        self._yy[-1] += weight * y * y
        self._meta[-1, 2] = time_s
        self._meta[-1, 3] += duration_s
        self._meta[-1, 4] += samples

    def hold(self, onsets_s: FloatArray) -> None:
        """Keep these boundaries (and no others) from being merged away, so that a change there stays visible.

        Parameters
        ----------
        onsets_s : ndarray
            Onsets [s]; the first eight count, so that the memory stays bounded.
        """
        self._pinned = {float(onset) for onset in onsets_s[:_HELD]}

    def _guess(self) -> FloatArray:
        return np.linalg.solve(self._a.sum(axis=0) + np.diag(self.prior), self._b.sum(axis=0))

    def _open(self, time_s: float, duration_s: float, reference: float) -> None:
        # a change while nothing was observed belongs to what comes after
        onset = self._meta[-1, 2] if self.epochs else time_s - duration_s
        if self.epochs:
            age = (time_s - self._meta[:, 2]) / self.half_life_s
            kept = np.exp2(-age) > _FORGOTTEN
            if not kept.all():
                self._a, self._b, self._yy, self._meta = (
                    array[kept] for array in (self._a, self._b, self._yy, self._meta)
                )
            self._merge()
        p, n = self.p, self.series
        self._a = np.concatenate((self._a, np.zeros((1, p, p))))
        self._b = np.concatenate((self._b, np.zeros((1, p, n))))
        self._yy = np.concatenate((self._yy, np.zeros((1, n))))
        row = np.array([[0.0, onset, time_s, 0.0, 0.0, reference]])
        self._meta = np.concatenate((self._meta, row))

    def _merge(self) -> None:
        level, last = 0, self.epochs
        while True:
            same = [i for i in range(last) if self._meta[i, 0] == level]
            if len(same) < _LEVEL_EPOCHS:
                if not (self._meta[:last, 0] > level).any():
                    return
                level += 1
                continue
            older, newer = same[0], same[1]
            if newer != older + 1 or self._meta[newer, 1] in self._pinned:
                self._meta[older, 0] += 1  # it stays apart, as one of the longer ones
                continue
            for array in (self._a, self._b, self._yy):
                array[older] += array[newer]
            self._meta[older, 0] += 1
            self._meta[older, 2] = self._meta[newer, 2]
            self._meta[older, 3:5] += self._meta[newer, 3:5]
            self._a, self._b = np.delete(self._a, newer, axis=0), np.delete(self._b, newer, axis=0)
            self._yy, self._meta = np.delete(self._yy, newer, axis=0), np.delete(self._meta, newer, axis=0)
            last = self.epochs

    def onsets(self) -> tuple[FloatArray, FloatArray]:
        """Give time [s] and reference of every onset that can be tried, oldest first."""
        return self._meta[:, 1].copy(), self._meta[:, 5].copy()

    def evaluate(self, changes: FloatArray) -> Evaluation:
        """Try every change at every onset.

        Parameters
        ----------
        changes : ndarray, shape (onsets, kinds, p)
            Direction ``w`` in which each kind of change moves the parameters from that onset on.

        Returns
        -------
        Evaluation
        """
        fade = np.exp2(-(self._meta[-1, 2] - self._meta[:, 2]) / self.half_life_s)
        # sums of what was seen from each onset on
        after_a = np.cumsum((self._a * fade[:, None, None])[::-1], axis=0)[::-1]
        after_b = np.cumsum((self._b * fade[:, None, None])[::-1], axis=0)[::-1]
        yy, count = fade @ self._yy, float(fade @ self._meta[:, 4])
        inverse = np.linalg.inv(after_a[0] + np.diag(self.prior))
        theta = inverse @ after_b[0]
        left = after_b - after_a @ theta
        moved = changes @ after_a
        information = np.einsum("okp,okp->ok", moved, changes) - np.einsum(
            "okp,pq,okq->ok", moved, inverse, moved
        )
        information = np.maximum(information, 1e-12)
        score = changes @ left
        delta = score / information[..., None]
        # noise: what remains under the best explanation, against what remains for the pack
        rest = np.maximum(yy - (theta * after_b[0]).sum(axis=0), 0.0)
        best = (score * delta).reshape(-1, self.series).max(axis=0)
        explained = (_PRIOR_COUNT + np.maximum(rest - best, 0.0)) / (_PRIOR_COUNT + count)
        usual = 1.0
        if self.series >= _CROWD:  # fewer say nothing of what is usual
            usual = float(np.median((_PRIOR_COUNT + rest) / (_PRIOR_COUNT + count)))
        return Evaluation(
            onset_s=self._meta[:, 1].copy(),
            theta=theta,
            theta_std=np.sqrt(np.diag(inverse)),
            delta=delta,
            information=information,
            inflation=np.maximum(explained, max(1.0, usual)),
        )

    # ---- over a restart ----

    def state(self) -> dict[str, FloatArray]:
        """Give the memory as arrays of which the last axis is the series (or a column)."""
        return {
            "a": self._a.reshape(-1, self.p),
            "b": self._b.reshape(-1, self.series),
            "yy": self._yy.copy(),
            "meta": self._meta.copy(),
            "pinned": np.array(sorted(self._pinned)),
        }

    def resume(self, state: Mapping[str, FloatArray]) -> None:
        """Take over a memory.

        Raises
        ------
        ValueError
            It is not that of a model of this size.
        """
        meta = np.asarray(state.get("meta", np.nan), float).reshape(-1, 6)
        count = len(meta)
        arrays = []
        for name, shape in (
            ("a", (count, self.p, self.p)),
            ("b", (count, self.p, self.series)),
            ("yy", (count, self.series)),
        ):
            array = np.asarray(state.get(name, np.nan), float)
            if array.size != int(np.prod(shape)):
                raise ValueError(f"{name} has {array.size} values, not {int(np.prod(shape))}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are not finite")
            arrays.append(array.reshape(shape))
        if not np.isfinite(meta).all():
            raise ValueError("meta holds values that are not finite")
        self._a, self._b, self._yy = (array.copy() for array in arrays)
        self._meta = meta.copy()
        self._pinned = {float(value) for value in np.atleast_1d(state.get("pinned", np.empty(0)))}
