"""How a pack is used: rest, drive, brake, fast charge, slow charge with balancing, grid service, heat and
cold.

As hard as a healthy pack may legally be used: full limits, from one to the other within tenths of a second,
ambient steps of 20 K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_core.types import State

__all__ = ["SUBSAMPLES", "Segment", "Usage"]

FloatArray = NDArray[np.float64]

SUBSAMPLES = 10
"""Samples of current in a scan."""
_BLOCK = 512
_KINDS = ("rest", "drive", "hard drive", "crawl", "grid", "fast charge", "slow charge")
_TARGETS = {"rest": State.STANDBY, "drive": State.DRIVE, "hard drive": State.DRIVE, "crawl": State.DRIVE,
            "grid": State.CONNECTED, "fast charge": State.CHARGE, "slow charge": State.CHARGE}  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A time of one kind of use."""

    kind: str
    duration_s: float

    @property
    def target(self) -> State:
        """State that it needs."""
        return _TARGETS[self.kind]

    @property
    def charges(self) -> bool:
        """A charger feeds the pack."""
        return self.target is State.CHARGE


class Usage:
    """Segments, wanted current and ambient temperature over time.

    Parameters
    ----------
    rng : Generator
    scan_period_s : float
    """

    def __init__(self, rng: np.random.Generator, scan_period_s: float) -> None:
        self._rng, self._period_s = rng, scan_period_s
        self._wanted = np.zeros((0, SUBSAMPLES))
        self._at = 0
        self._level = 0.0
        self.ambient_degc = float(rng.uniform(-10.0, 35.0))
        self._ambient_left_s = float(rng.exponential(1200.0))

    def next_segment(self, soc: float) -> Segment:
        """Choose what comes next, by the state of charge."""
        rng = self._rng
        self._wanted, self._at = np.zeros((0, SUBSAMPLES)), 0
        if soc < 0.15:
            kind = str(rng.choice(["fast charge", "slow charge"], p=[0.8, 0.2]))
        elif soc > 0.9:
            kind = str(
                rng.choice(
                    ["drive", "hard drive", "grid", "slow charge", "rest"], p=[0.3, 0.4, 0.1, 0.1, 0.1]
                )
            )
        else:
            kind = str(rng.choice(_KINDS, p=[0.1, 0.2, 0.3, 0.05, 0.15, 0.15, 0.05]))
        longest_s = {"rest": 900.0, "slow charge": 1200.0, "fast charge": 2400.0}.get(kind, 1500.0)
        return Segment(kind, float(rng.uniform(60.0, longest_s)))

    def wanted(self, kind: str) -> FloatArray:
        """Give the wanted current over the next scan, as a share of the limit: -1 full discharge, 1 full
        charge.
        """
        if self._at >= len(self._wanted):
            self._wanted, self._at = self._block(kind), 0
        self._at += 1
        return self._wanted[self._at - 1]

    def _block(self, kind: str) -> FloatArray:
        rng, step_s = self._rng, self._period_s / SUBSAMPLES
        count = _BLOCK * SUBSAMPLES
        if kind == "rest":
            return np.zeros((_BLOCK, SUBSAMPLES))
        # goals that last from tenths of seconds to half a minute
        holds = np.maximum(
            rng.exponential({"hard drive": 3.0, "crawl": 30.0, "grid": 8.0}.get(kind, 6.0), 400), 0.2
        )
        ends = np.minimum(np.cumsum(holds / step_s).astype(int), count)
        goals = {
            "drive": lambda n: np.where(rng.random(n) < 0.25, rng.random(n), -rng.beta(1.5, 3.0, n)),
            "hard drive": lambda n: rng.choice([-1.0, -1.0, 1.0, -0.5, 0.0], n),
            "crawl": lambda n: rng.uniform(-0.02, 0.005, n),
            "grid": lambda n: rng.choice([-1.0, 1.0, 0.3, -0.3, 0.0], n),
            "fast charge": lambda n: np.ones(n),
            "slow charge": lambda n: np.full(n, 0.12),
        }[kind](len(ends))
        lengths = np.diff(ends, prepend=0)
        goal = np.repeat(goals, lengths)
        goal = np.concatenate((goal, np.full(max(count - len(goal), 0), goals[-1])))[:count]
        # full power is reached within 0.2 s at the hardest
        slew = (5.0 if kind == "hard drive" else 2.0) * step_s
        if slew >= 2.0:
            wanted = goal
        else:
            wanted = self._slewed(goal, slew)
        self._level = float(wanted[-1])
        return wanted.reshape(_BLOCK, SUBSAMPLES)

    def _slewed(self, goal: FloatArray, slew: float) -> FloatArray:
        wanted, level = goal.tolist(), self._level
        for number, value in enumerate(wanted):
            change = value - level
            level += max(-slew, min(slew, change))
            wanted[number] = level
        return np.array(wanted)

    def step_ambient(self, dt_s: float) -> None:
        """Let the weather go on; now and then the vehicle leaves a garage: 20 K within one scan."""
        self._ambient_left_s -= dt_s
        if self._ambient_left_s <= 0.0:
            self._ambient_left_s = float(self._rng.exponential(1200.0))
            step = float(self._rng.choice([-20.0, 20.0, self._rng.normal(0.0, 6.0)]))
            if not -22.0 <= self.ambient_degc + step <= 46.0:
                step = -step
            self.ambient_degc = float(np.clip(self.ambient_degc + step, -22.0, 46.0))
