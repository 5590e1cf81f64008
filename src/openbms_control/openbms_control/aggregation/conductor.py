"""Who is connected when: requests for the whole, carried out pack by pack.

The conductor only asks; the safety monitor of each pack grants or refuses, precharges, judges its voltage
against the link and opens by itself. Parallel packs are connected one at a time: the first charges the link
through its precharge resistor, each further one joins where it fits (:mod:`.joining`), and one that does not
fit now, or has recovered from a fault, joins later. A pack that is lost does not end the whole; nothing
closes unasked: a restart of the conductor, or a pack that somebody opened by hand, leaves open what is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from openbms_control.aggregation.joining import JoinSettings, first_pack, misfit
from openbms_control.aggregation.pack_view import CLOSED_STATES, Connection, PackFacts, PackView
from openbms_core.types import Level, State

__all__ = ["STOPS_ALL", "Answer", "Conductor", "Order"]

ASK_WAIT_S = 3.0
"""A pack that was asked and has not begun after this time did not take it."""
FIRST_WAIT_S = 5.0
"""Before the first pack is chosen, others that are not ready get this long: who begins decides who fits."""
RETRY_S = 5.0
"""Waiting time before a pack is asked again; doubled with each failure in a row, up to LONGEST_RETRY_S."""
LONGEST_RETRY_S = 300.0
HEALTHY_S = 600.0
"""After being connected for so long, the next waiting time is the first one again."""
SILENT_S = 1.0
"""A pack of a series that is not heard for so long opens all: a process that was held up is no lost pack."""
REPEAT_S = 1.0
"""STANDBY is asked for this often until nobody is connected."""

STOPS_ALL = (
    "EMERGENCY_STOP", "SMOKE_ALARM", "GAS_ALARM", "PRESSURE_ALARM", "THERMAL_RUNAWAY_ALARM",
    "THERMAL_RUNAWAY_EMERGENCY",
)  # fmt: skip
"""Faults of one pack that open all: what burns, or whom somebody wants dead, is not left beside a live
bus.
"""


@dataclass(frozen=True)
class Answer:
    """Answer to a request for the whole (RequestState.srv)."""

    accepted: bool
    reason: str


@dataclass(frozen=True)
class Order:
    """What a pack's safety monitor is to be asked for."""

    pack: str
    state: State


@dataclass
class _Memory:
    """What is remembered of one pack."""

    asked_s: float | None = None
    """When it was asked to close; None: it was not, or that is over."""
    began: bool = False
    """It has begun to carry the request out."""
    failures: int = 0
    retry_s: float = -1e9
    answer: str = ""
    connected_s: float | None = None
    taken_out: str = ""
    """Why it is left alone until the whole is requested anew; empty: it is not."""
    fits_s: float | None = None
    unheard_s: float | None = None
    """Since when its monitor is not heard."""


@dataclass
class Conductor:
    """Carry out requests for the whole.

    Attributes
    ----------
    wanted : State
        What was asked for: STANDBY, or one of the closed states.
    reason : str
        Why.
    out : dict of str to str
        Packs that are not connected though the whole is wanted, and why, in words.
    """

    facts: Sequence[PackFacts]
    series: bool = False
    settings: JoinSettings = field(default_factory=JoinSettings)
    stops_all: Sequence[str] = STOPS_ALL
    wanted: State = State.STANDBY
    reason: str = "start"
    out: dict[str, str] = field(default_factory=dict)
    _memory: dict[str, _Memory] = field(default_factory=dict)
    _had_one: bool = False
    _opening: bool = False
    _repeat_s: float = -1e9
    _choosing_s: float | None = None

    def __post_init__(self) -> None:
        """Begin to remember each pack."""
        self._memory = {facts.name: _Memory() for facts in self.facts}

    # ---- requests ----

    def request(self, target: State, views: Sequence[PackView]) -> Answer:
        """Take a request for the whole; it is carried out in the following steps.

        Parameters
        ----------
        target : State
            STANDBY, DRIVE, CHARGE or CONNECTED.
        views : sequence of PackView
        """
        if target == State.STANDBY:
            self._stop("requested")
            return Answer(True, "Zero current is requested, then the contactors of all packs open.")
        if target not in CLOSED_STATES:
            return Answer(False, "Only STANDBY, DRIVE, CHARGE and CONNECTED can be requested.")
        if self.wanted == target:
            for memory in self._memory.values():  # what is under way goes on
                memory.taken_out, memory.retry_s, memory.failures, memory.answer = "", -1e9, 0, ""
            return Answer(
                True, f"{target.name} is already being carried out; packs that were left out are tried anew."
            )
        busy = [view.name for view in views if view.connection in (Connection.CLOSED, Connection.MOVING)]
        if self.wanted in CLOSED_STATES or busy:
            what = (
                f"{self.wanted.name} is being carried out" if not busy else f"{', '.join(busy)} not open yet"
            )
            return Answer(
                False, f"{target.name} is entered from STANDBY only ({what}): request STANDBY first."
            )
        danger = self._danger(views)
        if danger:
            return Answer(False, f"Closing is refused: {danger}.")
        refusals = {view.name: view.forbids_closing for view in views if view.forbids_closing}
        if len(refusals) == len(views) or (self.series and refusals):
            return Answer(False, " ".join(f"{name}: {why.rstrip('.')}." for name, why in refusals.items()))
        self._release()
        self.wanted, self.reason, self._had_one, self._opening = target, "requested", False, False
        self._choosing_s = None
        rest = f" Left out for now: {', '.join(refusals)}." if refusals else ""
        return Answer(True, f"The packs are connected one after the other, then {target.name}.{rest}")

    def answered(self, order: Order, accepted: bool, reason: str, t_s: float) -> None:
        """Take the answer of a pack's monitor to an order."""
        memory = self._memory[order.pack]
        if order.state in CLOSED_STATES and not accepted:
            memory.answer = reason
            self._failed(memory, t_s)

    def _release(self) -> None:
        for name in self._memory:
            connected_s = self._memory[name].connected_s
            self._memory[name] = _Memory(connected_s=connected_s)

    def _stop(self, reason: str) -> None:
        self.wanted, self.reason, self._opening, self._repeat_s = State.STANDBY, reason, True, -1e9
        self.out = {}

    # ---- the step ----

    def step(self, views: Sequence[PackView], t_s: float) -> list[Order]:
        """Give what the packs are to be asked for now.

        Parameters
        ----------
        views : sequence of PackView
            In the order of ``facts``.
        t_s : float
            Monotonic time [s].
        """
        for view in views:
            self._remember(view, t_s)
        connected = [view for view in views if view.connected]
        if self.wanted not in CLOSED_STATES:
            self._adopt(connected, views)
        danger = self._danger(views) if self.wanted in CLOSED_STATES or connected else ""
        if danger and not self._opening:
            self._stop(danger)
        if self.wanted not in CLOSED_STATES:
            return self._open(views, t_s)
        self._had_one = self._had_one or bool(connected)
        return self._close_series(views, t_s) if self.series else self._close(views, connected, t_s)

    def _remember(self, view: PackView, t_s: float) -> None:
        memory = self._memory[view.name]
        state = view.status.state if view.status is not None else None
        memory.unheard_s = None if state is not None else memory.unheard_s or t_s
        if view.connected:
            if memory.connected_s is None:
                memory.connected_s = t_s
                for other in self._memory.values():
                    other.fits_s = None  # it changes the voltages: those that wait begin anew to fit
            elif t_s - memory.connected_s > HEALTHY_S:
                memory.failures = 0
            memory.asked_s, memory.began, memory.taken_out, memory.answer = None, False, "", ""
            return
        if memory.connected_s is not None and view.connection is Connection.OPEN:
            memory.connected_s = None
            by_hand = view.status is not None and state == State.STANDBY and view.status.reason == "requested"
            if by_hand and self.wanted in CLOSED_STATES:
                memory.taken_out = (
                    "it was taken out by a request of its own; request the whole again to take it back"
                )
            elif self.wanted in CLOSED_STATES:
                self._failed(memory, t_s)
        if memory.asked_s is None:
            return
        memory.began = memory.began or state in (State.PRECHARGE, *CLOSED_STATES)
        over = state not in (State.PRECHARGE, *CLOSED_STATES) and (
            memory.began or t_s - memory.asked_s > ASK_WAIT_S
        )
        if over:
            memory.answer = "" if memory.began else "it did not answer"
            self._failed(memory, t_s)

    @staticmethod
    def _failed(memory: _Memory, t_s: float) -> None:
        memory.asked_s, memory.began, memory.fits_s = None, False, None
        memory.retry_s = t_s + min(LONGEST_RETRY_S, RETRY_S * 2.0 ** min(memory.failures, 20))
        memory.failures += 1

    def _adopt(self, connected: Sequence[PackView], views: Sequence[PackView]) -> None:
        """Take over what is closed already: this process was started anew, or somebody closed a pack by
        hand.
        """
        if self._opening or not connected:
            return
        states = [view.status.state for view in connected if view.status is not None]
        running = [state for state in states if state in CLOSED_STATES]
        if not running:
            return
        self.wanted, self.reason, self._had_one = max(running, key=running.count), "adopted", True
        for view in views:
            if not view.connected:
                self._memory[
                    view.name
                ].taken_out = "it was open when the others were found closed; request anew"

    def _danger(self, views: Sequence[PackView]) -> str:
        for view in views:
            for fault in view.faults or ():
                if fault.id in self.stops_all and fault.state > 0 and fault.level >= Level.RECOMMENDED:
                    return f"fault:{fault.id} ({view.name})"
        return ""

    def _open(self, views: Sequence[PackView], t_s: float) -> list[Order]:
        self.out = {}
        closed = [
            view
            for view in views
            if view.status is not None and view.status.state in (State.PRECHARGE, *CLOSED_STATES)
        ]
        if not self._opening:
            return []
        if not closed:
            moving = any(view.connection is Connection.MOVING for view in views)
            waiting = any(memory.asked_s is not None for memory in self._memory.values())
            self._opening = moving or waiting
            return []
        if t_s - self._repeat_s < REPEAT_S:
            return []
        self._repeat_s = t_s
        # all at once: the last one on the bus would carry a load that does not obey all alone
        return [Order(view.name, State.STANDBY) for view in closed if view.facts.takes_requests]

    def _ask(self, view: PackView, t_s: float) -> list[Order]:
        memory = self._memory[view.name]
        memory.asked_s, memory.began, memory.answer = t_s, False, ""
        self.out[view.name] = "it is being connected"
        return [Order(view.name, self.wanted)]

    def _unavailable(self, view: PackView, t_s: float) -> str:
        """Give why a pack cannot be asked now, in words; empty: it can."""
        memory = self._memory[view.name]
        if memory.taken_out:
            return memory.taken_out
        if view.status is None or view.limits is None:
            return "its safety monitor is not heard"
        if view.scan is None:
            return "its driver is not heard"
        if not view.facts.takes_requests:
            return "it moves its own contactors, and has not closed them"
        if view.forbids_closing:
            return view.forbids_closing
        if t_s < memory.retry_s:
            why = f" ({memory.answer.rstrip('.')})" if memory.answer else ""
            return f"it is tried again in {memory.retry_s - t_s:.0f} s{why}"
        return ""

    def _busy(self, views: Sequence[PackView]) -> bool:
        return any(
            view.connection is Connection.MOVING or self._memory[view.name].asked_s is not None
            for view in views
            if not view.connected
        )

    def _close(self, views: Sequence[PackView], connected: Sequence[PackView], t_s: float) -> list[Order]:
        """Connect one more parallel pack, if one is left and fits."""
        self.out, candidates = {}, []
        for view in views:
            if view.connected:
                continue
            memory = self._memory[view.name]
            if memory.asked_s is not None or view.connection is Connection.MOVING:
                closing = view.status is not None and view.status.state == State.PRECHARGE
                self.out[view.name] = (
                    "it is being connected" if closing or memory.asked_s else "it is opening"
                )
                continue
            why = self._unavailable(view, t_s)
            if not why and connected:
                why = self._fit(view, connected, t_s)
            if why:
                self.out[view.name] = why
            else:
                self.out[view.name] = "its turn comes next"
                candidates.append(view)
        if self._busy(views):
            return []
        if not connected:
            return self._first(views, candidates, t_s)
        settled = [view for view in candidates if self._settled(view, t_s)]
        bus_v = [view.voltage_v for view in connected]
        mean_v = sum(bus_v) / len(bus_v)
        return self._ask(min(settled, key=lambda view: abs(view.voltage_v - mean_v)), t_s) if settled else []

    def _fit(self, view: PackView, connected: Sequence[PackView], t_s: float) -> str:
        memory, why = self._memory[view.name], misfit(view, connected, self.settings)
        if why:
            memory.fits_s = None
        elif memory.fits_s is None:
            memory.fits_s = t_s
        return why

    def _settled(self, view: PackView, t_s: float) -> bool:
        since_s = self._memory[view.name].fits_s
        return since_s is not None and t_s - since_s >= self.settings.settle_s

    def _first(self, views: Sequence[PackView], candidates: Sequence[PackView], t_s: float) -> list[Order]:
        if self._had_one:
            if any(view.connection is not Connection.OPEN for view in views):
                return []  # not heard for a moment: nobody knows yet that the bus is dead
            # the bus is dead: what closes it again is a new decision of somebody
            faults = [view.status.reason for view in views if view.status is not None
                      and view.status.reason.startswith("fault:")]  # fmt: skip
            self._stop(faults[0] if faults else "no_pack")
            self._opening = False
            return []
        self._choosing_s = t_s if self._choosing_s is None else self._choosing_s
        late = [name for name, memory in self._memory.items() if not memory.failures and not memory.taken_out]
        if len(candidates) < len(late) and t_s - self._choosing_s < FIRST_WAIT_S:
            return []
        first = first_pack(candidates, self.wanted, self.settings)
        if first is not None:
            return self._ask(first, t_s)
        if all(memory.failures > 0 or self._unavailable(view, t_s)
               for view, memory in zip(views, self._memory.values(), strict=True)):  # fmt: skip
            tried = [name for name, memory in self._memory.items() if memory.failures]
            self._stop(f"could_not_close:{','.join(tried)}" if tried else "no_pack")
        return []

    def _close_series(self, views: Sequence[PackView], t_s: float) -> list[Order]:
        """Connect the next pack of a series: the one with a precharge resistor last, onto the whole
        voltage.
        """
        self.out = {}
        for view in views:
            memory = self._memory[view.name]
            silent = memory.unheard_s is not None and t_s - memory.unheard_s > SILENT_S
            gone = view.status is not None and view.status.state in (State.FAULT, State.OPENING)
            if silent or gone or memory.failures or memory.taken_out:
                self._stop(f"series_open:{view.name}")
                return self._open(views, t_s)
        left = [view for view in views if not view.connected]
        self.out = {view.name: "its turn comes next" for view in left}
        if not left or self._busy(views):
            return []
        ready = [view for view in left if not self._unavailable(view, t_s)]
        for view in left:
            self.out[view.name] = self._unavailable(view, t_s) or "its turn comes next"
        # the order of the file within each kind
        return (
            self._ask(min(ready, key=lambda view: view.facts.has_precharge), t_s)
            if len(ready) == len(left)
            else []
        )
