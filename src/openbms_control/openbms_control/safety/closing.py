"""Close string after string: the first through its precharge resistor, the others when they fit to it."""

from __future__ import annotations

from enum import Enum, auto

import numpy as np

from openbms_control.safety.contactor_bank import NEGATIVE, POSITIVE, PRECHARGE, ContactorBank, Sensed
from openbms_control.safety.isolation import Isolation
from openbms_control.safety.joining import JoiningJudge, LeftOut
from openbms_control.safety.precharge import PrechargeJudge, PrechargeState, ResistorHeat
from openbms_core.pack import PackFile, Precharge
from openbms_core.types import State

__all__ = ["Closing"]

_WELD_SCANS = 2
"""Scans with only the negative contactor closed in which the link is watched."""


class _Phase(Enum):
    REST = auto()
    """No string is being moved."""
    PAUSE = auto()
    """Before the first, and the next, attempt to precharge."""
    NEGATIVE = auto()
    PRECHARGE = auto()
    POSITIVE = auto()
    RELEASE = auto()
    """The precharge contactor opens."""
    HALT = auto()
    """A weld was seen: nothing is moved any more."""


_MOVES = {
    _Phase.NEGATIVE: (NEGATIVE, 1),
    _Phase.PRECHARGE: (PRECHARGE, 1),
    _Phase.POSITIVE: (POSITIVE, 1),
    _Phase.RELEASE: (PRECHARGE, 0),
}


class Closing:
    """Close the strings one at a time.

    Order of the first string (foxBMS): negative contactor; precharge contactor; when string and link voltage
    have come together and no current is left the positive contactor; then the precharge contactor opens. A
    further string joins without precharge, when it fits (:class:`JoiningJudge`); one that does not fit now is
    left out and joins later, while the others are in use.

    Parameters
    ----------
    pack : PackFile
    bank : ContactorBank
    isolation : Isolation
    heat : ResistorHeat

    Attributes
    ----------
    left_out : dict of int to LeftOut
        Strings that are not connected, and why; numbers are those of the last scan.
    failed : bool
        Every attempt of the last closing failed.
    attempt : int
        Number of the attempt that runs, from 1; 0 before the first.
    aborted : tuple of str, float and int, or None
        ``voltage`` or ``current``, the value that was too large, and the string, of the last attempt that was
        given up in this closing.
    welded : tuple of float and int, or None
        Link voltage [V] and string of a weld that was seen at this closing.
    """

    def __init__(self, pack: PackFile, bank: ContactorBank, isolation: Isolation, heat: ResistorHeat) -> None:
        self._precharge: Precharge | None = pack.contactors.precharge
        self._bank, self._isolation, self._heat = bank, isolation, heat
        self._judge = PrechargeJudge(pack)
        self._joining = JoiningJudge(pack, bank)
        self.left_out: dict[int, LeftOut] = {}
        self.failed = False
        self.attempt = 0
        self.aborted: tuple[str, float, int] | None = None
        self.welded: tuple[float, int] | None = None
        self._queue: list[int] = []
        self._string, self._is_first = -1, False
        self._phase, self._phase_since_s = _Phase.REST, 0.0
        self._pause_s = 0.0
        self._settled_s = 0.0
        self._link_before_v = float("nan")
        self._for_charger = False
        self._scans: set[int] = set()

    # ---- what others ask ----

    @property
    def string(self) -> int:
        """The string that is being moved; -1: none."""
        return self._string if self._phase != _Phase.REST else -1

    @property
    def first(self) -> int:
        """The string that is being moved as the first one; -1: none."""
        return self.string if self._is_first else -1

    def precharge_state(self, sensed: Sensed) -> PrechargeState:
        """Judge the precharge of the string that is being moved."""
        return self._judge.state(sensed, self._string)

    def replaceable(self, string: int) -> bool:
        """Tell whether another string could be the first one in place of this."""
        return string == self.first and bool(self._queue)

    # ---- the whole of it ----

    def begin(self, target: State, sensed: Sensed, t_s: float) -> None:
        """Start to close the strings, the one with the highest voltage first (for charging the lowest).

        Parameters
        ----------
        target : State
            DRIVE, CHARGE or CONNECTED.
        sensed : Sensed
        t_s : float
            Monotonic time [s].
        """
        self.failed, self.attempt, self.aborted, self.welded, self._pause_s = False, 0, None, None, 0.0
        self._for_charger = target == State.CHARGE
        sign = 1.0 if self._for_charger else -1.0
        voltages = np.nan_to_num(sign * sensed.string_voltages_v, nan=np.inf)
        order = [int(string) for string in np.argsort(voltages, kind="stable")]
        self._queue = [string for string in order if string not in self._isolation.isolated]
        self.left_out = {
            **{string: LeftOut("waiting", "its turn has not come") for string in self._queue},
            **self._isolation.isolated,
        }
        self._joining.forget()
        self._first(t_s)

    def step(self, sensed: Sensed, t_s: float) -> bool:
        """Go on closing.

        Returns
        -------
        bool
            Every string is closed or left out. ``failed`` and ``welded`` tell of a closing that was given up.
        """
        if self._phase != _Phase.REST and not self.failed:
            self._move(sensed, t_s)
        if self._phase != _Phase.REST:
            return False
        self.join(sensed, t_s, allowed=True)
        fits = any(left.code == "waiting" for left in self.left_out.values())
        # after each move the voltages need a moment before they tell who fits
        settled = t_s - self._settled_s >= self._joining.settle_s
        return self.string < 0 and (not self.left_out or (settled and not fits))

    def join(self, sensed: Sensed, t_s: float, *, allowed: bool) -> None:
        """Connect a string that was left out, as soon as it fits; one at a time.

        Parameters
        ----------
        sensed : Sensed
        t_s : float
            Monotonic time [s].
        allowed : bool
            Nothing forbids closing a contactor now.
        """
        if self._phase != _Phase.REST:
            if allowed:
                self._move(sensed, t_s)
            else:
                self._leave_out(LeftOut("blocked", "closing is forbidden now"), t_s)
            return
        ready = []
        for string, left in self.left_out.items():
            if left.code != "isolated":
                wrong = self._joining.ready(string, sensed, t_s)
                self.left_out[string] = wrong or LeftOut("waiting", "it joins next")
                ready += [string] if wrong is None else []
        if ready and allowed:
            self._is_first = False
            self._string = min(ready, key=lambda s: abs(sensed.string_voltages_v[s] - sensed.link_voltage_v))
            self._enter(_Phase.NEGATIVE, t_s)

    def lost(self, string: int, t_s: float) -> None:
        """Take note that a string was isolated."""
        self.left_out[string] = self._isolation.isolated[string]
        if string == self.string:
            again = self.replaceable(string)
            self._rest(t_s)
            if again:
                self._first(t_s)

    def stop(self) -> None:
        """Move nothing any more."""
        self._phase, self._queue, self.left_out = _Phase.REST, [], {}

    # ---- one string ----

    def _first(self, t_s: float) -> None:
        """Take the next string that could be the first one."""
        self._string, self._is_first, self.attempt = self._queue.pop(0), True, 0
        self._enter(_Phase.PAUSE, t_s)

    def _enter(self, phase: _Phase, t_s: float) -> None:
        self._phase, self._phase_since_s = phase, t_s
        self._scans.clear()
        if phase in _MOVES:
            self._bank.set(self._string, *_MOVES[phase], t_s)

    def _rest(self, t_s: float) -> None:
        self._joining.forget()
        self._settled_s = t_s
        self._enter(_Phase.REST, t_s)

    def _leave_out(self, why: LeftOut, t_s: float) -> None:
        self._bank.open_string(self._string, t_s)
        self.left_out[self._string] = why
        self._rest(t_s)

    def _move(self, sensed: Sensed, t_s: float) -> None:
        """Advance one string; a phase that is over leads to the next in the following call."""
        followed = self._bank.followed(sensed, t_s)[self._string]
        if self._phase == _Phase.PAUSE:
            spent_s = t_s - self._phase_since_s
            if spent_s >= self._pause_s and self._heat.wait_s(self._string) == 0.0:
                self.attempt += 1
                self._link_before_v = sensed.link_voltage_v
                self._enter(_Phase.NEGATIVE, t_s)
        elif self._phase == _Phase.NEGATIVE:
            if followed[NEGATIVE]:
                self._after_negative(sensed, t_s)
        elif self._phase == _Phase.PRECHARGE:
            self._while_precharging(sensed, bool(followed[PRECHARGE]), t_s)
        elif self._phase == _Phase.POSITIVE:
            if followed[POSITIVE]:
                self._enter(_Phase.RELEASE, t_s)
        elif self._phase == _Phase.RELEASE and followed[PRECHARGE]:
            self.left_out.pop(self._string, None)
            self._rest(t_s)

    def _after_negative(self, sensed: Sensed, t_s: float) -> None:
        if not self._is_first:
            wrong = self._joining.misfit(self._string, sensed)  # it may have changed meanwhile
            if wrong is None:
                self._enter(_Phase.POSITIVE, t_s)
            else:
                self._leave_out(wrong, t_s)
        elif self._precharge is None:
            self._enter(_Phase.POSITIVE, t_s)
        elif self._comes_up(sensed):
            self._bank.open_string(self._string, t_s)
            self.welded = (sensed.link_voltage_v, self._string)
            self._enter(_Phase.HALT, t_s)
        else:
            self._scans.add(sensed.scan_number)
            if len(self._scans) >= _WELD_SCANS:
                self._enter(_Phase.PRECHARGE, t_s)

    def _comes_up(self, sensed: Sensed) -> bool:
        """Tell whether the link rises with only the negative contactor closed: another one is welded.

        A link that was up already (just opened, or fed by something else) tells nothing, nor does one that a
        charger may be bringing up to the pack's voltage just now.
        """
        if self._for_charger:
            return False
        rise_v = sensed.link_voltage_v - self._link_before_v
        room_v = float(sensed.string_voltages_v[self._string]) - self._link_before_v
        return rise_v > self._judge.window_v and room_v > 2.0 * self._judge.window_v

    def _while_precharging(self, sensed: Sensed, closed: bool, t_s: float) -> None:
        assert self._precharge is not None
        now = self._judge.state(sensed, self._string)
        if closed and now.together and now.calm:
            self.aborted = None
            self._enter(_Phase.POSITIVE, t_s)
        elif t_s - self._phase_since_s >= self._precharge.timeout_s:
            self.aborted = (
                ("current", now.current_a, self._string)
                if now.together
                else ("voltage", now.difference_v, self._string)
            )
            self._bank.open_string(self._string, t_s)
            self.failed = self.attempt >= self._precharge.attempts
            self._pause_s = self._precharge.wait_between_attempts_s
            self._enter(_Phase.PAUSE, t_s)
