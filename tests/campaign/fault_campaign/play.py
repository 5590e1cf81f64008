"""Play one draw through the closed loop."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from fault_campaign.cases import Case
from fault_campaign.closed_loop import ClosedLoop, demo_pack
from fault_campaign.dice import Dice
from fault_campaign.draws_pack import PACK_DRAWS
from fault_campaign.draws_system import SYSTEM_DRAWS
from fault_campaign.loads import NoLoad, Vehicle
from fault_campaign.trace import Trace
from openbms_core.types import State
from openbms_sim.faults import FAULTS, parse_injections

__all__ = ["Played", "draw", "kinds", "play"]

REACHED_WITHIN_S = 15.0
_REQUESTS = {
    "standby": State.STANDBY,
    "drive": State.DRIVE,
    "charge": State.CHARGE,
    "connected": State.CONNECTED,
}
_DRAWS = {**PACK_DRAWS, **SYSTEM_DRAWS}


def kinds() -> tuple[list[str], list[str]]:
    """Give the kinds that can be drawn, and those for which the twin has no injection."""
    there = [name for name, (needs, _) in _DRAWS.items() if all(need in FAULTS for need in needs)]
    return there, [name for name in _DRAWS if name not in there]


def draw(seed: int, number: int, kind: str = "") -> Case:
    """Draw one case; kinds follow each other, so that each comes equally often."""
    there, _ = kinds()
    kind = kind or there[number % len(there)]
    return _DRAWS[kind][1](Dice(seed, number))


@dataclass
class Played:
    """What came of a draw.

    Attributes
    ----------
    trace : Trace
    injected_s : float
        Monotonic time of the moment of injection; with ``before`` the start.
    requested_s : float
        Monotonic time of the request in the script; NaN: there was none.
    reached : bool
        The pack came into the state that was asked for.
    began_s, ended_s : float
        Monotonic time of the start and the end.
    """

    trace: Trace
    injected_s: float
    requested_s: float
    reached: bool
    began_s: float
    ended_s: float


def play(case: Case) -> Played:
    """Run a case from a cold start to its end."""
    load = Vehicle(case.settings.seed, case.strongest_a) if case.strongest_a else NoLoad()
    loop = ClosedLoop(case.settings, load=load)
    loop.trace.frames = []
    began_s = injected_s = loop.now_s
    injections = _injections(case)
    if case.before:
        loop.set_faults(injections, case.faults)
    target = case.settings.target
    goal = State.STANDBY if target is State.STANDBY else target
    reached = (
        loop.run_until(lambda: loop.state in (goal, State.FAULT), REACHED_WITHIN_S) and loop.state is goal
    )
    loop.run(case.settle_s)
    if not case.before:
        injected_s = loop.now_s
        loop.set_faults(injections, case.faults)
    end_s, requested_s = loop.now_s + case.run_s, math.nan
    if case.request:
        loop.run(case.request_at_s)
        requested_s = loop.now_s
        loop.request(_REQUESTS[case.request])
    loop.run(end_s - loop.now_s)
    return Played(loop.trace, injected_s, requested_s, reached, began_s, loop.now_s)


def _injections(case: Case) -> list[object]:
    pack, _, messages = demo_pack()
    items = [{key: value for key, value in item.items() if value is not None} for item in case.injections]
    topology = pack.file.topology
    return parse_injections(
        json.dumps(items), cells=topology.cell_count, sensors=topology.sensor_names, messages=list(messages)
    )
