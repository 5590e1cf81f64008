"""Heat that nothing explains is seen; load, weather and a common model error are not taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from openbms_core.models.two_node import TwoNodeThermal
from openbms_estimation.diagnosis.runaway import RunawayWatch

THERMAL = TwoNodeThermal(41.0, 3.5, 6.0)
SENSORS = 32


class Cells:
    """Real cells: other constants than the watch believes, and a coolant it does not know of."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.core = np.full(SENSORS, 25.0)
        self.surface = self.core.copy()
        self.cooling = 0.05 * (1.0 + 0.1 * self.rng.standard_normal(SENSORS))
        self.time_s = 0.0

    def step(self, heat_w: np.ndarray, dt_s: float = 10.0) -> np.ndarray:
        self.time_s += dt_s
        coolant = 20.0 + 4.0 * np.sin(self.time_s / 1500.0)
        for _ in range(int(dt_s)):
            inside = (self.core - self.surface) / 5.0
            self.core += (heat_w - inside) / 45.0
            self.surface += (inside - self.cooling * (self.surface - coolant)) / 5.0
        return np.round((self.surface + 0.05 * self.rng.standard_normal(SENSORS)) / 0.1) * 0.1


def watch_for(
    minutes: float, cells: Cells, watch: RunawayWatch, *, excess_w: float = 0.0, sensor: int = 4
) -> float | None:
    """Drive; give the minutes until the warning, or None."""
    for number in range(int(minutes * 6)):
        load = 0.8 * (1.0 + np.sin(cells.time_s / 200.0)) * np.ones(SENSORS)
        real = load.copy()
        real[sensor] += excess_w
        watch.step(cells.step(real), load, 10.0)
        if watch.warning.any():
            assert np.flatnonzero(watch.warning).tolist() == [sensor]
            return (number + 1) / 6.0
    return None


@pytest.mark.parametrize("seed", range(4))
def test_driving_and_weather_do_not_warn(seed: int) -> None:
    watch = RunawayWatch(SENSORS, THERMAL)
    assert watch_for(240.0, Cells(seed), watch) is None


@pytest.mark.parametrize(("excess_w", "within_min"), [(1.0, 30.0), (3.0, 12.0), (10.0, 6.0)])
def test_heat_beside_the_current_warns(excess_w: float, within_min: float) -> None:
    watch, cells = RunawayWatch(SENSORS, THERMAL), Cells()
    assert watch_for(60.0, cells, watch) is None
    spent = watch_for(60.0, cells, watch, excess_w=excess_w)
    assert spent is not None
    assert spent <= within_min


def test_after_a_gap_it_starts_anew() -> None:
    watch, cells = RunawayWatch(SENSORS, THERMAL), Cells()
    watch_for(60.0, cells, watch)
    watch_for(60.0, cells, watch, excess_w=10.0)
    assert watch.warning.any()
    watch.step(np.full(SENSORS, 40.0), np.zeros(SENSORS), 3600.0)
    assert not watch.warning.any()


def test_a_sensor_that_jumps_is_no_heat_but_one_that_goes_on_is() -> None:
    watch, cells = RunawayWatch(SENSORS, THERMAL), Cells()
    watch_for(60.0, cells, watch)
    load = np.ones(SENSORS)
    for _ in range(120):
        temperatures = cells.step(load)
        temperatures[4] += 9.0
        watch.step(temperatures, load, 10.0)
        assert not watch.warning.any()
    for number in range(24):
        temperatures = cells.step(load)
        temperatures[4] += 9.0 + 5.0 * number
        watch.step(temperatures, load, 10.0)
    assert np.flatnonzero(watch.warning).tolist() == [4]


def test_a_lost_sensor_does_not_warn() -> None:
    watch, cells = RunawayWatch(SENSORS, THERMAL), Cells()
    for _ in range(60):
        temperatures = cells.step(np.ones(SENSORS))
        temperatures[4] = np.nan
        watch.step(temperatures, np.ones(SENSORS), 10.0)
    assert not watch.warning.any()
    assert np.isnan(watch.heat_w[4])
    assert np.isfinite(np.delete(watch.heat_w, 4)).all()
