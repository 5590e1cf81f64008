"""Healthy hours of the demonstration pack over the whole path: twin, frames, driver, estimators, monitor."""

from __future__ import annotations

import numpy as np

from fault_campaign.closed_loop import ClosedLoop, LoopSettings, demo_pack
from fault_campaign.healthy.run import Tally
from fault_campaign.loads import NoLoad, Vehicle
from openbms_core.types import State
from openbms_sim.faults import validated
from openbms_sim.plant.cell import Spread

__all__ = ["live_through"]

_TRIP_S = 120.0
_TARGETS = (State.DRIVE, State.CONNECTED, State.CHARGE, State.DRIVE, State.STANDBY)
_SLICE_S = 5.0


def live_through(hours: float, seed: int) -> Tally:
    """Live through some hours, in trips of two minutes, each with cells, weather and use of its own.

    Frames get lost now and then: one in a thousand.
    """
    tally, rng = Tally(), np.random.default_rng([seed, 96])
    lost = validated({"fault": "drop_message", "message": "*", "probability": 0.001})
    while tally.hours < hours:
        target = _TARGETS[int(rng.integers(len(_TARGETS)))]
        aged = bool(rng.random() < 0.5)
        settings = LoopSettings(
            soc=float(rng.uniform(0.06, 0.85 if target is State.CHARGE else 0.98)),
            ambient_degc=float(rng.uniform(-18.0, 46.0)),
            target=target,
            seed=int(rng.integers(1, 2**31)),
            spread=Spread(0.03, 0.1, 0.012) if aged else Spread(),
        )
        load = NoLoad() if target is State.STANDBY else Vehicle(settings.seed, float(rng.uniform(5.0, 22.0)))
        loop = ClosedLoop(settings, load=load)
        loop.set_faults([lost])
        _trip(loop, min(_TRIP_S, max(hours - tally.hours, 0.0) * 3600.0 + _SLICE_S), tally)
    return tally


def _trip(loop: ClosedLoop, seconds: float, tally: Tally) -> None:
    begun_s, opens_at_s = loop.now_s, loop.now_s + 0.9 * seconds
    asked = False
    while loop.now_s - begun_s < seconds:
        before_s = loop.now_s
        loop.run(_SLICE_S)
        name = loop.state.name
        tally.states[name] = tally.states.get(name, 0.0) + (loop.now_s - before_s) / 3600.0
        _reached(loop, tally)
        loop.trace.forget()
        if not asked and loop.now_s >= opens_at_s:
            asked = True
            loop.request(State.STANDBY)
    tally.hours += (loop.now_s - begun_s) / 3600.0
    for identifier, times in loop.trace.raised.items():
        row = loop.trace.rows[identifier]
        if not (row.latched or row.opens):
            tally.warnings[identifier] = tally.warnings.get(identifier, 0) + len(times)
            continue
        settings = loop.settings
        tally.alarms += [
            {
                "row": identifier,
                "pack": demo_pack()[0].file.name,
                "at_s": round(at_s - begun_s, 2),
                "use": settings.target.name,
                "soc": round(settings.soc, 3),
                "ambient_degc": round(settings.ambient_degc, 1),
                "seed": settings.seed,
            }
            for at_s in times
        ]


def _reached(loop: ClosedLoop, tally: Tally) -> None:
    said = loop.trace.sensed
    tally.scans += len(said.at_s)
    tally.lowest_v = min(tally.lowest_v, float(np.nanmin(said.cells_v)))
    tally.highest_v = max(tally.highest_v, float(np.nanmax(said.cells_v)))
    tally.coldest_degc = min(tally.coldest_degc, float(np.nanmin(said.cell_sensors_degc)))
    tally.hottest_degc = max(tally.hottest_degc, float(np.nanmax(said.cell_sensors_degc)))
    tally.largest_a = max(tally.largest_a, float(np.nanmax(np.abs(said.current_mean_a))))
