"""Follow the curves of one ageing cell by windows that each show a part of one of them.

The state is the charge between full and each node of each curve, and the rates at which the cell loses
capacity and gains resistance. What a window shows is a difference of such charges, so that it is a linear
measurement and the capacity under a load, the last node of its curve, has a variance of its own. Nodes that
a window does not show move with those that it does, by what ageing does to a curve:

* all of it shrinks while the resistance rises: dx = (x + κ·(I/Q)·dx/dV)·a, the main mode;
* the resistance rises further: dx = I·(dx/dV)·r;
* parts of it shrink by themselves, neighbours alike, and alike under charge and discharge.

How fast a cell ages is not known beforehand and changes: several speeds are carried side by side and weighed
by how well each foretells the next window; a sudden change (capacity that comes back in a rest) and a window
that does not belong are further hypotheses. All are collapsed into one normal distribution after each
window (generalised pseudo-Bayes of first order: Bar-Shalom, Li, Kirubarajan, Estimation with Applications to
Tracking and Navigation, 2001, §11.6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_estimation.soh.charge_curve import ChargeCurve, Window

__all__ = ["CurveFilter", "FilterSettings"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class FilterSettings:
    """What is assumed of any cell; standard deviations are per √cycle unless stated.

    Attributes
    ----------
    mode, resistance_c, local : float
        Main mode (relative), further resistance times the rated capacity [V at 1 C], parts of a curve
        (relative).
    mode_rate, resistance_rate_c : float
        Of the rates of the first two.
    mode_rate_start, resistance_rate_start_c : float
        Standard deviation of the rates at the start, per cycle.
    rate_lasts : float
        Cycles over which a rate is forgotten.
    resistance_share_v : float
        κ: rise of the voltage drop at 1 C per relative loss of capacity [V].
    neighbours : float
        Parts of a curve that age alike, as a part of its charge.
    both_branches : float
        Correlation of a part under one load with the same part under another.
    voltage_std_v : float
        Of a sample and of what the model of a curve leaves out [V]; not per cycle.
    charge_std : float
        Of a charge between two nodes, as a part of the rated capacity; not per cycle.
    full_std : float
        Of what is called full, as a part of the rated capacity; not per cycle.
    speeds, speed_prior : tuple of float
        Factors on all of the above that is per cycle, and what is believed of them.
    speed_memory : float
        Weight that the belief in a speed keeps from window to window.
    floor : float
        Standard deviation of the capacity that no window takes away, as a part of the rated capacity.
    """

    mode: float = 0.003
    resistance_c: float = 0.002
    local: float = 0.006
    mode_rate: float = 0.0004
    resistance_rate_c: float = 0.00004
    mode_rate_start: float = 0.002
    resistance_rate_start_c: float = 0.001
    rate_lasts: float = 50.0
    resistance_share_v: float = 0.3
    neighbours: float = 0.08
    both_branches: float = 0.8
    voltage_std_v: float = 0.005
    charge_std: float = 0.002
    full_std: float = 0.004
    speeds: tuple[float, ...] = (0.3, 0.55, 1.0, 1.8, 3.3)
    speed_prior: tuple[float, ...] = (0.1, 0.2, 0.4, 0.2, 0.1)
    speed_memory: float = 0.95
    floor: float = 0.010


# factors on mode, further resistance and parts; factor on the variance of the window; belief
_HYPOTHESES = ((1.0, 1.0, 1.0, 1.0, 0.90), (5.0, 3.0, 4.0, 1.0, 0.08), (1.0, 1.0, 1.0, 30.0, 0.02))
_SAMPLING = 0.3  # standard deviation of an evenly spread position within one sample: 1 / √12
_WIDEST_SHARE = (0.8, 8.0)


class CurveFilter:
    """All curves of one cell.

    Parameters
    ----------
    rated_ah : float
    settings : FilterSettings, optional
    """

    def __init__(self, rated_ah: float, settings: FilterSettings | None = None) -> None:
        self.rated_ah = rated_ah
        self.settings = settings or FilterSettings()
        self.curves: list[ChargeCurve] = []
        self._at: list[slice] = []
        s = self.settings
        self.x = np.zeros(0)
        self.rates = np.zeros(2)
        self.p = np.diag([s.mode_rate_start**2, (s.resistance_rate_start_c / rated_ah) ** 2])
        self._belief = np.log(np.asarray(s.speed_prior))
        self._cycles = 0.0

    def add(self, curve: ChargeCurve, fade_per_cycle: float = 0.0, fade_std: float = np.inf) -> int:
        """Take up a curve.

        Parameters
        ----------
        curve : ChargeCurve
        fade_per_cycle, fade_std : float
            Relative change of the capacity per cycle as the first operations show it, and its deviation.

        Returns
        -------
        int
            Its index.
        """
        m, k = self.x.size, curve.nodes.size
        order = np.r_[np.arange(m), m + k + np.arange(2)]
        p = np.zeros((m + k + 2, m + k + 2))
        p[np.ix_(order, order)] = self.p
        alike = np.exp(-0.5 * ((curve.nodes[:, None] - curve.nodes) / 0.15) ** 2)
        p[m : m + k, m : m + k] = np.outer(curve.start_std_ah, curve.start_std_ah) * alike
        p[m : m + k, m : m + k] += 0.005**2 * np.outer(curve.start_ah, curve.start_ah)
        self.p, self.x = p, np.r_[self.x, curve.start_ah]
        self.curves.append(curve)
        self._at.append(slice(m, m + k))
        if np.isfinite(fade_std):
            h = np.zeros(m + k + 2)
            h[-2] = 1.0
            gain = self.p @ h / (h @ self.p @ h + fade_std**2)
            innovation = fade_per_cycle - self.rates[0]
            self.x, self.rates = self.x + gain[:-2] * innovation, self.rates + gain[-2:] * innovation
            self.p -= np.outer(gain, h @ self.p)
        return len(self.curves) - 1

    def capacity(self, index: int) -> tuple[float, float]:
        """Give the charge of a discharge curve from full to its cut-off [Ah], and its standard deviation."""
        last = self._at[index].stop - 1
        variance = self.p[last, last] + (self.settings.floor * self.rated_ah) ** 2
        return float(self.x[last]), float(np.sqrt(variance))

    def pass_cycles(self, cycles: float) -> None:
        """Let the cell age."""
        self._cycles += cycles

    def _modes(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give main mode, resistance mode and the covariance of the parts, over all nodes."""
        main, resistance, place, branch, steps = [], [], [], [], []
        ratio = [
            c.full_ah / max(float(self.x[at].max()), 0.1 * c.full_ah)
            for c, at in zip(self.curves, self._at, strict=True)
            if not c.charging
        ]
        share = self.settings.resistance_share_v
        share *= float(np.clip(np.mean(ratio) if ratio else 1.0, *_WIDEST_SHARE))
        for index, (curve, at) in enumerate(zip(self.curves, self._at, strict=True)):
            x = curve.in_order(self.x[at])
            drop = (-1.0 if curve.charging else 1.0) * curve.slope(x) * curve.current_a()
            main.append(x + share / self.rated_ah * drop)
            resistance.append(drop)
            step = np.maximum(
                np.diff(np.r_[0.0, x[::-1]])[::-1] if curve.charging else np.diff(np.r_[0.0, x]), 0.0
            )
            step = step + 0.005 * curve.full_ah
            n = x.size
            steps.append((np.triu if curve.charging else np.tril)(np.ones((n, n))) * step)
            place.append((x - 0.5 * step) / max(float(x.max()), 1e-6))
            branch.append(np.full(n, index))
        where, which = np.concatenate(place), np.concatenate(branch)
        rho = self.settings.both_branches
        alike = np.exp(-0.5 * ((where[:, None] - where) / self.settings.neighbours) ** 2)
        alike *= rho + (1.0 - rho) * (which[:, None] == which)
        total = np.zeros(alike.shape)
        for at, block in zip(self._at, steps, strict=True):
            total[at, at] = block
        return np.concatenate(main), np.concatenate(resistance), total @ alike @ total.T

    def _measured(
        self, index: int, window: Window, x: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Give innovation, its matrix over the nodes and its covariance; None: the window shows nothing."""
        curve, at = self.curves[index], self._at[index]
        if window.moved_ah.size < 2:
            return None
        y = curve.at_nodes(window)
        from_full = window.from_full and not curve.charging
        if from_full:
            # a cell whose voltage is below a node as soon as the load comes has moved nothing above it
            y = np.where(curve.nodes >= curve.coordinate(window)[0], 0.0, y)
        seen = np.flatnonzero(np.isfinite(y))
        to_full = window.to_full and curve.charging
        absolute = from_full or to_full
        if seen.size < (1 if absolute else 2):
            return None
        s = self.settings
        slope = curve.slope(curve.in_order(x[at]))[seen]
        sample_ah = float(np.median(np.abs(np.diff(window.moved_ah))))
        variance = (_SAMPLING * sample_ah) ** 2 + (s.charge_std * self.rated_ah) ** 2
        r = np.diag((slope * s.voltage_std_v) ** 2 + variance)
        h = np.zeros((seen.size, self.x.size))
        h[np.arange(seen.size), np.arange(self.x.size)[at][seen]] = 1.0
        y = y[seen]
        if absolute:
            y = window.moved_ah[-1] - y if to_full else y
            r = r + (s.full_std * self.rated_ah) ** 2
        else:
            y = -y if curve.charging else y
            difference = np.eye(seen.size)[1:] - np.eye(seen.size)[:1]
            y, h, r = difference @ y, difference @ h, difference @ r @ difference.T
        return y - h @ x, h, r

    def update(self, index: int, window: Window) -> None:
        """Take a window of the curve ``index``, after the cycles that have passed.

        Parameters
        ----------
        index : int
            As :meth:`add` gave it.
        window : Window
            One that shows too little changes nothing but the time.
        """
        s, n, cycles = self.settings, self.x.size, self._cycles
        self._cycles = 0.0
        main, resistance, local = self._modes()
        kept = float(np.exp(-cycles / s.rate_lasts))
        f = np.eye(n + 2)
        f[:n, n], f[:n, n + 1] = main * cycles, -resistance * cycles
        f[n, n] = f[n + 1, n + 1] = kept
        x = np.r_[self.x + f[:n, n:] @ self.rates, self.rates * kept]
        p = f @ self.p @ f.T
        seen = self._measured(index, window, x[:n])
        noise = [np.zeros((n + 2, n + 2)) for _ in range(4)]
        noise[0][:n, :n] = s.mode**2 * np.outer(main, main)
        noise[1][:n, :n] = (s.resistance_c / self.rated_ah) ** 2 * np.outer(resistance, resistance)
        noise[2][:n, :n] = s.local**2 * local
        noise[3][n, n], noise[3][n + 1, n + 1] = s.mode_rate**2, (s.resistance_rate_c / self.rated_ah) ** 2
        states, covariances, weights, speeds = [], [], [], []
        for speed, factor in enumerate(s.speeds):
            for mode, further, parts, doubt, belief in _HYPOTHESES:
                grown = mode**2 * noise[0] + further**2 * noise[1] + parts**2 * noise[2] + noise[3]
                xk, pk, likelihood = _updated(x, p + cycles * factor**2 * grown, seen, doubt)
                states.append(xk)
                covariances.append(pk)
                weights.append(likelihood + np.log(belief) + self._belief[speed])
                speeds.append(speed)
        w = np.exp(np.asarray(weights) - max(weights))
        w /= w.sum()
        if seen is not None:
            of_speed = np.bincount(speeds, w, len(s.speeds)) + 1e-12
            belief_now = s.speed_memory * np.log(of_speed) + (1.0 - s.speed_memory) * np.log(s.speed_prior)
            self._belief = belief_now - np.log(np.exp(belief_now).sum())
        mean = w @ np.asarray(states)
        self.p = np.zeros_like(p)
        for weight, xk, pk in zip(w, states, covariances, strict=True):
            self.p += weight * (pk + np.outer(xk - mean, xk - mean))
        self.x, self.rates = mean[:n], mean[n:]
        for curve, at in zip(self.curves, self._at, strict=True):
            self.x[at] = curve.in_order(self.x[at])


def _updated(
    x: FloatArray, p: FloatArray, seen: tuple[FloatArray, FloatArray, FloatArray] | None, doubt: float
) -> tuple[FloatArray, FloatArray, float]:
    """Give state and covariance after a measurement (Joseph form), and the logarithm of its likelihood."""
    if seen is None:
        return x, p, 0.0
    innovation, h, r = seen
    n = h.shape[1]
    ph = p[:, :n] @ h.T
    s = h @ ph[:n] + doubt * r
    gain = np.linalg.solve(s, ph.T).T
    likelihood = -0.5 * (innovation @ np.linalg.solve(s, innovation) + np.linalg.slogdet(s)[1])
    left = np.eye(x.size)
    left[:, :n] -= gain @ h
    return x + gain @ innovation, left @ p @ left.T + gain @ (doubt * r) @ gain.T, float(likelihood)
