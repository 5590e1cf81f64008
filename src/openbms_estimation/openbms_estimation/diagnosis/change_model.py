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

_FORGOTTEN = 1e-3
_CROWD = 3
_HELD = 8
_META = 6
"""Numbers kept of each epoch beside its normal equations."""
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


@dataclass
class _Epoch:
    """Normal equations of what was seen from an onset on."""

    a: FloatArray
    b: FloatArray
    yy: FloatArray
    level: int
    onset_s: float
    end_s: float
    observed_s: float
    samples: float
    reference: float


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
    per_level : int
        As soon as so many epochs have the same length, the two oldest of them become one: onsets can be told
        apart by about their age divided by this.
    half_life_s : float
        What was seen this long ago counts half [s].
    """

    def __init__(
        self,
        series: int,
        prior_std: ArrayLike,
        *,
        epoch_s: float = 60.0,
        per_level: int = 4,
        half_life_s: float = 14 * 86400.0,
    ) -> None:
        self.series = series
        self.prior = np.asarray(prior_std, float) ** -2.0
        self.p = len(self.prior)
        self.epoch_s, self.per_level, self.half_life_s = epoch_s, per_level, half_life_s
        self._epochs: list[_Epoch] = []
        self._held: set[float] = set()
        self._theta: FloatArray | None = None

    @property
    def epochs(self) -> int:
        """Epochs in memory."""
        return len(self._epochs)

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
        last = self._epochs[-1] if self._epochs else None
        # what may have changed while nothing was observed must not hide within an epoch
        silent = last is not None and time_s - duration_s - last.end_s > self.epoch_s
        if last is None or silent or last.observed_s >= self.epoch_s:
            last = self._open(time_s, duration_s, reference)
        missing = np.isnan(y)
        if missing.any():
            y = np.where(missing, phi @ self._guess() if not missing.all() else 0.0, y)
        weighted = weight * phi
        last.a += np.multiply.outer(weighted, phi)
        last.b += np.multiply.outer(weighted, y)
        last.yy += weight * y * y
        last.end_s = time_s
        last.observed_s += duration_s
        last.samples += samples

    def hold(self, onsets_s: FloatArray) -> None:
        """Keep these boundaries (and no others) from being merged away, so that a change there stays visible.

        Parameters
        ----------
        onsets_s : ndarray
            Onsets [s]; the first eight count, so that the memory stays bounded.
        """
        self._held = {float(onset) for onset in onsets_s[:_HELD]}

    def _guess(self) -> FloatArray:
        if self._theta is None:
            return np.zeros((self.p, self.series))
        return self._theta

    def _open(self, time_s: float, duration_s: float, reference: float) -> _Epoch:
        # a change while nothing was observed belongs to what comes after
        onset_s = self._epochs[-1].end_s if self._epochs else time_s - duration_s
        oldest_s = time_s + self.half_life_s * math.log2(_FORGOTTEN)
        self._epochs = [epoch for epoch in self._epochs if epoch.end_s > oldest_s]
        self._merge()
        p, n = self.p, self.series
        epoch = _Epoch(
            np.zeros((p, p)), np.zeros((p, n)), np.zeros(n), 0, onset_s, time_s, 0.0, 0.0, reference
        )
        self._epochs.append(epoch)
        return epoch

    def _merge(self) -> None:
        """Join the two oldest epochs of the same length where there are many; older ones are the longer."""
        level = 0
        while True:
            same = [i for i, epoch in enumerate(self._epochs) if epoch.level == level]
            if len(same) < self.per_level:
                if not self._epochs or self._epochs[0].level <= level:
                    return
                level += 1
                continue
            older, newer = self._epochs[same[0]], self._epochs[same[1]]
            older.level += 1
            if newer.onset_s in self._held:
                continue  # it stays apart, as one of the longer ones
            older.a += newer.a
            older.b += newer.b
            older.yy += newer.yy
            older.end_s = newer.end_s
            older.observed_s += newer.observed_s
            older.samples += newer.samples
            del self._epochs[same[1]]

    def onsets(self) -> tuple[FloatArray, FloatArray]:
        """Give time [s] and reference of every onset that can be tried, oldest first."""
        found = np.array([(epoch.onset_s, epoch.reference) for epoch in self._epochs])
        return found[:, 0], found[:, 1]

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
        epochs = self._epochs
        ends_s = np.array([epoch.end_s for epoch in epochs])
        fade = np.exp2(-(ends_s[-1] - ends_s) / self.half_life_s)
        # sums of what was seen from each onset on
        each = fade[:, None, None]
        after_a = np.cumsum((np.array([epoch.a for epoch in epochs]) * each)[::-1], axis=0)[::-1]
        after_b = np.cumsum((np.array([epoch.b for epoch in epochs]) * each)[::-1], axis=0)[::-1]
        yy = fade @ np.array([epoch.yy for epoch in epochs])
        count = float(fade @ np.array([epoch.samples for epoch in epochs]))
        inverse = np.linalg.inv(after_a[0] + np.diag(self.prior))
        theta = self._theta = inverse @ after_b[0]
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
            onset_s=self.onsets()[0],
            theta=theta,
            theta_std=np.sqrt(np.diag(inverse)),
            delta=delta,
            information=information,
            inflation=np.maximum(explained, max(1.0, usual)),
        )

    # ---- over a restart ----

    def state(self) -> dict[str, FloatArray]:
        """Give the memory as arrays of which the last axis is the series (or a column)."""
        meta = [(e.level, e.onset_s, e.end_s, e.observed_s, e.samples, e.reference) for e in self._epochs]
        p, n = self.p, self.series
        return {
            "a": np.array([e.a for e in self._epochs]).reshape(-1, p),
            "b": np.array([e.b for e in self._epochs]).reshape(-1, n),
            "yy": np.array([e.yy for e in self._epochs]).reshape(-1, n),
            "meta": np.array(meta, float).reshape(-1, _META),
            "held": np.array(sorted(self._held)),
        }

    def resume(self, state: Mapping[str, FloatArray]) -> None:
        """Take over a memory.

        Raises
        ------
        ValueError
            It is not that of a model of this size.
        """
        meta = np.asarray(state.get("meta", np.nan), float)
        if meta.size % _META or not np.isfinite(meta).all():
            raise ValueError("meta holds values that are no epochs")
        meta = meta.reshape(-1, _META)
        count, p, n = len(meta), self.p, self.series
        arrays = {}
        for name, shape in (("a", (count, p, p)), ("b", (count, p, n)), ("yy", (count, n))):
            array = np.asarray(state.get(name, np.nan), float)
            if array.size != int(np.prod(shape)):
                raise ValueError(f"{name} has {array.size} values, not {int(np.prod(shape))}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are not finite")
            arrays[name] = array.reshape(shape)
        self._epochs = [
            _Epoch(
                arrays["a"][i].copy(), arrays["b"][i].copy(), arrays["yy"][i].copy(), int(row[0]), *row[1:]
            )
            for i, row in enumerate(meta.tolist())
        ]
        self._held = {float(value) for value in np.atleast_1d(state.get("held", np.empty(0)))}
        self._theta = self._from_memory() if self._epochs else None

    def _from_memory(self) -> FloatArray:
        a = np.sum([epoch.a for epoch in self._epochs], axis=0) + np.diag(self.prior)
        return np.asarray(np.linalg.solve(a, np.sum([epoch.b for epoch in self._epochs], axis=0)))
