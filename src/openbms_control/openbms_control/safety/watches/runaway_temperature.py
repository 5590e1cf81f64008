"""Thermal runaway, seen by temperature sensors: one that rises as its peers do not.

Values are averaged into steps of half a second; a rate is the least-squares slope over the last steps. Three
windows look at once: a short one for the criterion of GB 38031-2025 C.5.3.7 c) (1 °C/s, sustained for 3 s),
two
longer ones for slow rises. Each is as long as noise, resolution, scan period and refresh of the sensors ask
for
(:func:`window_rows`). A rise counts only where

- it exceeds the median rate of all sensors by the threshold *and once more by that median*: under load a bad
  cell may heat up to twice as fast as the others, so that heating of the whole pack is never evidence;
- it exceeds the scatter of the rates (five standard deviations, from their median absolute deviation);
- it is a course, not a jump: without its two steepest stretches the net rise, its own and that beyond the
  peers, still is a third of what the threshold asks for. A loose contact jumps; and it falls, or comes
  back to its peers, as no cell can, which bars its sensor for a minute.

With fewer than four sensors none can be told from the others by scatter: criterion c) is then taken as it
stands, without the peers.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.readings.facts import BoolArray, FloatArray, PackFacts
from openbms_core.types import PackMeasurement, Validity

__all__ = ["TemperatureCourses", "window_rows"]

STEP_S = 0.5
"""Values are averaged over this time, or over a scan where that is longer."""
SHORT_S, MEDIUM_S, LONG_S = 5.0, 10.0, 40.0
"""Nominal length of the windows; of the short one 3 s remain without its two steepest stretches."""
MEDIUM_FACTOR = 3.0
"""The medium window asks for this multiple of the long one's rate above the peers."""
HOT_RATE_SHARE = 0.5
"""A sensor far above its peers is evidence at this share of the long window's rate."""
CERTAINTY = 8.0
"""Standard deviations of noise between no rise and a threshold."""
SCATTER = 5.0 * 1.4826
"""Five standard deviations, as multiples of the median absolute deviation."""
COURSE_SHARE = 0.3
"""Share of the threshold's rise that must remain without the two steepest stretches."""
HOT_ENDS = np.array([[0.8], [1.0]])
"""Share of the distance from the peers at the beginning and at the end of the long window."""
BLOCKS = 12
"""For that a window is averaged into at least so many blocks."""
READINGS = 4
"""A window has room for so many new values of a sensor, and for so many bits of it at the threshold."""
LOOSE_S = 60.0
"""A sensor that jumped as no cell can is not judged for this long."""
LEAST_FALL_K = 1.0
"""Within one step no cell cools by more."""
UNKNOWN_K, COARSEST_K = 1.0, 2.0
"""Resolution that is taken before a sensor has moved, and in place of one that is coarser still."""
LOST_AFTER_S = 10.0
"""A sensor that is lost within this time after it rose counts as burnt."""
APART_S = 2.0
"""Heat needs time from sensor to sensor: two that begin to rise closer together have a common cause."""
LEAST_PEERS = 4
"""Sensors from which on criterion c) is taken against the others."""


@lru_cache(maxsize=1024)
def window_rows(
    nominal_s: float, rate_k_per_s: float, noise_k: float, step_s: float, refresh_s: float, quantum_k: float
) -> int:
    """Give how many steps a window needs.

    It covers its nominal time, :data:`READINGS` refreshes of the sensors and as many bits at the threshold,
    and
    the slope of pure noise stays :data:`CERTAINTY` standard deviations below the threshold: white noise σ of
    values that are new every ``refresh_s`` gives a slope with the standard deviation σ·sqrt(12·refresh / W³)
    over the time W (least squares, many values).

    Parameters
    ----------
    nominal_s : float
        Time that the window covers at least [s].
    rate_k_per_s : float
        Threshold of the rate [K/s].
    noise_k : float
        Standard deviation of a single value [K].
    step_s : float
        Time of a step [s].
    refresh_s : float
        Time between two new values of a sensor [s].
    quantum_k : float
        Resolution of the values [K].
    """
    quiet_s = (CERTAINTY * noise_k * math.sqrt(12.0 * refresh_s) / rate_k_per_s) ** (2.0 / 3.0)
    covered_s = max(nominal_s, quiet_s, READINGS * refresh_s, READINGS * quantum_k / rate_k_per_s)
    # two stretches are taken out: there must be more
    return max(math.ceil(covered_s / step_s - 1e-6), 6) + 1


class TemperatureCourses:
    """The last minute of every cell sensor, and what it is evidence of.

    Parameters
    ----------
    facts : PackFacts
    hold_s : float
        Time for which evidence counts [s].

    Attributes
    ----------
    first_cell, after_last_cell : array of int, shape (columns,)
        Cells that a column stands for. A sensor that is assigned to none stands for all.
    evidence_age_s, confirmed_age_s : array, shape (columns,)
        Time since a column last was evidence, and since it last met criterion c); infinite: never. Both stand
        still while the sensor is lost: what a fire destroys does not become better by it.
    latest_degc : array, shape (columns,)
        Last value of each column; kept when it is lost.
    rate_k_per_s : array, shape (columns,)
        Rate over the short window; NaN where it is not known.
    """

    def __init__(self, facts: PackFacts, hold_s: float) -> None:
        self._facts = facts
        pack = facts.pack
        chosen, cells = pack.protection, pack.topology.cell_count
        self._sensors = np.flatnonzero(facts.cell_sensors)
        self._by_device = facts.temperature_extremes_mapped
        self._count = len(self._sensors)
        columns = self._count + int(self._by_device)
        places = [pack.topology.sensors[sensor][2] or range(cells) for sensor in self._sensors]
        places += [range(cells)] * (columns - self._count)
        self.first_cell = np.array([place.start for place in places], dtype=np.int64)
        self.after_last_cell = np.array([place.stop for place in places], dtype=np.int64)
        self._hold_s = hold_s
        self._scan_s = pack.measurement.scan_period_s
        self._step_s = max(STEP_S, self._scan_s)
        self._noise_k = chosen.runaway_temperature_noise_k
        self._above_k = chosen.runaway_temperature_above_peers_k
        rate, peer_rate = chosen.runaway_temperature_rate_k_per_s, chosen.runaway_peer_rate_k_per_s
        self._windows = (
            (SHORT_S, rate), (MEDIUM_S, MEDIUM_FACTOR * peer_rate), (LONG_S, peer_rate),
        )  # fmt: skip
        self._thresholds = np.array([[rate] for _, rate in self._windows])
        # below it nothing is looked at: half of the threshold before a loss, less far above the peers
        self._least = self._thresholds * np.array([[0.5], [0.5], [HOT_RATE_SHARE]])
        longest_s = max(
            (pack.max_age_s(s) for s in pack.device.signals if s.to == "temperature_degc"), default=0.0
        )
        self._longest_refresh_s = max(self._scan_s, longest_s)
        self._size = max(self._rows(self._longest_refresh_s, COARSEST_K))
        per_step = max(1.0, self._step_s / self._scan_s)
        # one in 1e10 of the steps of a sensor with that noise falls further by chance
        self._loose_k = max(LEAST_FALL_K, 6.5 * math.sqrt(2.0 / per_step) * self._noise_k)
        self._history = np.full((2 * self._size, columns), np.nan)
        self._times = np.zeros(2 * self._size)
        self.evidence_age_s = np.full(columns, np.inf)
        self.confirmed_age_s = np.full(columns, np.inf)
        self._begun_age_s = np.full(columns, np.inf)
        self._rose_age_s = np.full(columns, np.inf)
        self._loose_age_s = np.full(columns, np.inf)
        self.latest_degc = np.full(columns, np.nan)
        self.rate_k_per_s = np.full(columns, np.nan)
        self._sum, self._samples = np.zeros(columns), np.zeros(columns)
        self._ages_s = np.zeros(self._count)
        self._refreshes_s = np.full(self._count, self._scan_s)
        self._values_degc = np.full(self._count, np.nan)
        self._quanta_k = np.full(self._count, np.inf)
        self.restart()

    def _rows(self, refresh_s: float, quantum_k: float) -> list[int]:
        """Give the steps of each window."""
        return [
            window_rows(nominal_s, rate, self._noise_k, self._step_s, refresh_s, quantum_k)
            for nominal_s, rate in self._windows
        ]

    def restart(self) -> None:
        """Forget the courses, not the evidence: what was not seen is not judged."""
        self._filled = self._at = 0
        self._elapsed_s = self._clock_s = 0.0
        self._sum[:] = self._samples[:] = 0.0
        self._rose_age_s[:] = np.inf

    def _values(self, m: PackMeasurement) -> FloatArray:
        values = self._facts.values(m).temperatures[self._sensors]
        if not self._by_device:
            return values
        known = m.reported_temperature_validity == Validity.VALID
        return np.append(values, m.reported_temperature_maximum_degc if known else np.nan)

    def step(self, m: PackMeasurement, step_s: float) -> None:
        """Take a scan.

        Parameters
        ----------
        m : PackMeasurement
        step_s : float
            Time since the scan before [s].
        """
        if not len(self.first_cell):
            return
        values = self._values(m)
        known = np.isfinite(values)
        moved = np.abs(values[: self._count] - self._values_degc)
        self._quanta_k = np.where(moved > 0.0, np.fmin(self._quanta_k, moved), self._quanta_k)
        self._values_degc = values[: self._count]
        self._sum += np.where(known, values, 0.0)
        self._samples += known
        self._elapsed_s += step_s
        if len(m.temperature_ages_s) == len(m.temperatures_degc):
            ages_s, expected_s = m.temperature_ages_s[self._sensors], self._ages_s + step_s
            new = (ages_s < expected_s - 0.5 * step_s) & np.isfinite(expected_s)
            self._refreshes_s = np.where(new, expected_s - ages_s, self._refreshes_s)
            self._ages_s = ages_s
        if self._elapsed_s >= self._step_s - 0.5 * min(self._scan_s, STEP_S):
            self._close_step()

    def _close_step(self) -> None:
        """Put the mean of a step into the history and judge it."""
        dt_s, self._elapsed_s = self._elapsed_s, 0.0
        means = np.divide(
            self._sum, self._samples, out=np.full_like(self._sum, np.nan), where=self._samples > 0
        )
        self._sum[:] = self._samples[:] = 0.0
        self._clock_s += dt_s
        here = np.isfinite(means)
        for age in (self.evidence_age_s, self.confirmed_age_s):
            age += dt_s * here
        for age in (self._begun_age_s, self._rose_age_s, self._loose_age_s):
            age += dt_s
        if self._filled:
            rise = means - self.latest_degc
            back = means <= _median(means[None, : self._count])[0] + self._loose_k
            self._loose_age_s[(rise < -self._loose_k) | ((rise > self._loose_k) & back)] = 0.0
        self.latest_degc = np.where(here, means, self.latest_degc)
        for place in (self._at, self._at + self._size):  # twice, so that the newest rows always lie together
            self._history[place] = means
            self._times[place] = self._clock_s
        self._at = (self._at + 1) % self._size
        self._filled = min(self._filled + 1, self._size)
        lost = ~here & (self._rose_age_s <= LOST_AFTER_S)
        self._note(self._judge() | lost)
        # once is enough: from here on its evidence stands still
        self._rose_age_s[lost] = np.inf

    def _note(self, evidence: BoolArray) -> None:
        new = evidence & (self.evidence_age_s > self._hold_s)
        self._begun_age_s[new] = 0.0
        self.evidence_age_s[evidence] = 0.0

    def _refresh_and_quantum(self) -> tuple[float, float]:
        """Give the time between two new values of the typical sensor [s], in whole scans, and its
        resolution [K].

        Before anything has moved the latter is taken as 1 K.
        """
        if not self._count:
            return self._scan_s, COARSEST_K
        refresh_s, quantum_k = _median(np.stack((self._refreshes_s, self._quanta_k)))[:, 0]
        scans = max(round(float(refresh_s) / self._scan_s), 1)
        # rounded, so that few windows have to be computed
        quantum_k = math.ceil(10.0 * quantum_k - 1e-6) / 10.0 if math.isfinite(quantum_k) else UNKNOWN_K
        return min(scans * self._scan_s, self._longest_refresh_s), min(quantum_k, COARSEST_K)

    def _judge(self) -> BoolArray:
        """Tell which columns are evidence at the end of this step."""
        refresh_s, quantum_k = self._refresh_and_quantum()
        rows = self._rows(refresh_s, quantum_k)
        slopes = np.full((3, len(self.first_cell)), np.nan)
        end = self._at + self._size
        for number, length in enumerate(rows):
            if length <= self._filled:
                times = self._times[end - length : end]
                centred = times - times.mean()
                slopes[number] = centred @ self._history[end - length : end] / (centred @ centred)
        self.rate_k_per_s = slopes[0]
        nothing = np.zeros(len(self.first_cell), dtype=np.bool_)
        if not (slopes >= self._least).any():
            return nothing
        known = int(np.isfinite(self._history[end - 1, : self._count]).sum())
        beyond, scatter = self._beyond_peers(slopes, known)
        candidate = beyond >= self._least + scatter
        if not candidate.any():
            return nothing
        remains = np.full_like(slopes, -np.inf)
        for number in np.flatnonzero(candidate.any(axis=1)).tolist():
            window = self._history[end - rows[number] : end]
            covered_s = self._times[end - 1] - self._times[end - rows[number]]
            remains[number] = self._net_rise(window, refresh_s) / covered_s
            if number:  # what rises faster is for the short window
                most_k = self._loose_k + 2.0 * self._windows[0][1] * max(self._step_s, refresh_s)
                remains[number, (window[1:] - window[:-1] > most_k).any(axis=0)] = -np.inf
        course = (self._loose_age_s > LOOSE_S) & (remains >= COURSE_SHARE * self._thresholds)
        confirmed = course[0] & (beyond[0] >= self._thresholds[0])
        self.confirmed_age_s[confirmed] = 0.0
        rises = course & (beyond >= self._thresholds + scatter)
        # both ends of the window: what has only jumped was not there before
        ends = self._history[[end - rows[2], end - 1]]
        above = (ends - _median(ends[:, : self._count]) >= self._above_k * HOT_ENDS).all(axis=0)
        hot = above & candidate[2] & course[2]
        half = course & (beyond >= 0.5 * self._thresholds + scatter)
        self._rose_age_s[half.any(axis=0)] = 0.0
        return np.asarray(hot | rises.any(axis=0))

    def _net_rise(self, window: FloatArray, refresh_s: float) -> FloatArray:
        """Give the net rise of each column without its two steepest stretches [K].

        Of its own and of that beyond the peers the smaller one. A stretch is as long as a jump may seem to
        be: the
        two blocks that it lies in, or the time between two values.
        """
        size = max(1, len(window) // BLOCKS)
        blocks = window[len(window) % size :].reshape(-1, size, window.shape[1]).mean(axis=1)
        stretch = max(2, math.ceil(refresh_s / (size * self._step_s) - 1e-6) + 1)
        rise = _without_jumps(blocks, stretch)
        if np.isfinite(blocks[-1, : self._count]).sum() < LEAST_PEERS:
            return rise
        return np.minimum(rise, _without_jumps(blocks - _median(blocks[:, : self._count]), stretch))

    def _beyond_peers(self, slopes: FloatArray, known: int) -> tuple[FloatArray, FloatArray]:
        """Give what the other sensors do not explain of each rate, and the scatter of the rates, per window.

        NaN where there are no others; the short window is the criterion of the standard, without scatter.
        """
        sensors = slopes[:, : self._count]
        present = np.isfinite(sensors).sum(axis=1, keepdims=True)
        typical = _median(sensors)
        scatter = np.where(present >= LEAST_PEERS, SCATTER * _median(np.abs(sensors - typical)), 0.0)
        scatter[0] = 0.0
        explained = np.where(present >= 2, np.maximum(typical, 0.0), np.nan) + np.zeros_like(slopes)
        pair = (present == 2)[:, 0]
        if pair.any():  # of two sensors the other one is the peer, not the mean of both
            both = np.nansum(sensors, axis=1, keepdims=True)
            explained[pair, : self._count] = np.maximum(both - sensors, 0.0)[pair]
        beyond = slopes - explained
        if known < LEAST_PEERS:
            beyond[0] = slopes[0]
        return beyond, scatter

    def active(self) -> BoolArray:
        """Tell which columns are evidence within the time that it counts."""
        return self.evidence_age_s <= self._hold_s

    def independent(self) -> int:
        """Give how many sensors count as independent indicators, where some are evidence: one or two."""
        active = self.active()
        begun = self._begun_age_s[active]
        return 2 if begun.max() - begun.min() >= APART_S else 1

    def confirmed(self) -> BoolArray:
        """Tell which columns met criterion c) within the time that evidence counts."""
        return self.confirmed_age_s <= self._hold_s


def _without_jumps(blocks: FloatArray, stretch: int) -> FloatArray:
    """Give the net rise of each column without the two steepest stretches."""
    rises = blocks[stretch:] - blocks[:-stretch]
    at = rises.argmax(axis=0)
    steepest = np.take_along_axis(rises, at[None], axis=0)[0]
    apart = np.abs(np.arange(len(rises))[:, None] - at) >= stretch
    second = np.where(apart, rises, 0.0).max(axis=0, initial=0.0)
    return np.asarray(blocks[-1] - blocks[0] - steepest - second)


def _median(values: FloatArray) -> NDArray[np.float64]:
    """Give the median of each row, without what is NaN; shape (rows, 1)."""
    ordered, count = np.sort(values, axis=1), values.shape[1]
    if not count:
        return np.full((len(values), 1), np.nan)
    if not np.isnan(ordered[:, -1]).any():
        return np.asarray(0.5 * (ordered[:, (count - 1) // 2, None] + ordered[:, count // 2, None]))
    present = np.isfinite(values).sum(axis=1, keepdims=True)
    low, high = np.maximum(present - 1, 0) // 2, np.minimum(present // 2, count - 1)
    return np.asarray(
        0.5 * (np.take_along_axis(ordered, low, axis=1) + np.take_along_axis(ordered, high, axis=1))
    )
