"""The contactors of the pack as the state machine sees them: close, join, isolate, open; and what the fault
table is told of it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.closing import Closing
from openbms_control.safety.contactor_bank import NEGATIVE, POSITIVE, PRECHARGE, ContactorBank, Sensed
from openbms_control.safety.isolation import Isolation
from openbms_control.safety.joining import LeftOut
from openbms_control.safety.opening import Opening, OpeningPhase
from openbms_control.safety.precharge import ResistorHeat
from openbms_control.safety.wear import ContactorRecord, ContactorWear
from openbms_core.pack import PackFile
from openbms_core.types import State

__all__ = ["DEVICE_CLOSING_TIME_S", "ContactorSequencer", "Sensed"]

DEVICE_CLOSING_TIME_S = 10.0
"""A device that closes by itself has this long, where the pack file says nothing of precharge."""


class ContactorSequencer:
    """Close string after string, take out what fails, and open all.

    Parameters
    ----------
    pack : PackFile
    record : ContactorRecord, optional
        What is kept of the contactors from before.

    Attributes
    ----------
    bank : ContactorBank
    closing : Closing
    opening : Opening
    isolation : Isolation
    heat : ResistorHeat
    wear : ContactorWear
    strings : int
    command : array, shape (strings, 3)
        Positive, negative, precharge: 0 open, 1 closed.
    news : dict of str to tuple of float and int
        Quantities of the fault table that have something to report: value and string. What is an event stays
        until its row is active (:meth:`told`).
    """

    def __init__(self, pack: PackFile, record: ContactorRecord | None = None) -> None:
        record = record or ContactorRecord()
        self._authority = pack.contactors.moved_by
        self._contactors = pack.contactors
        self.strings = pack.topology.strings
        self.bank = ContactorBank(pack)
        self.command = self.bank.command
        self.heat = ResistorHeat(pack, self.bank, record.of("precharge_heat", self.strings))
        isolated = [string for string in record.isolated if string < self.strings]
        self.isolation = Isolation(pack, self.bank, isolated)
        self.closing = Closing(pack, self.bank, self.isolation, self.heat)
        self.wear = ContactorWear.of(record, self.strings)
        self.opening = Opening(pack, self.bank, self.wear)
        self.news: dict[str, tuple[float, int]] = {}
        self._given_up = False
        self._begun_s = 0.0

    # ---- what is commanded, and whether it was followed ----

    def age_s(self, t_s: float) -> NDArray[np.float64]:
        """Give how long each contactor has been commanded to what it is [s], shape (strings, 3)."""
        return self.bank.age_s(t_s)

    @property
    def failed(self) -> bool:
        """The last closing was given up."""
        return self.closing.failed or self._given_up

    @property
    def left_out(self) -> dict[int, LeftOut]:
        """Strings that are not connected, and why."""
        return self.closing.left_out

    def closed(self, sensed: Sensed | None) -> bool:
        """Tell whether every string that should be closed is closed, and one should be (always, without
        contactors).
        """
        if self._authority == "none":
            return True
        should = self.bank.commanded_strings()
        return bool(should.any()) and not (should & ~self.bank.closed_strings(sensed)).any()

    def closed_strings(self, sensed: Sensed | None) -> int:
        """Give how many strings are really closed (all, where nobody moves contactors)."""
        return self.strings if self._authority == "none" else int(self.bank.closed_strings(sensed).sum())

    def look(self, sensed: Sensed | None, state: State, t_s: float) -> None:
        """Take what a scan says of the contactors, before anything is judged by it.

        Parameters
        ----------
        sensed : Sensed or None
            The last fresh scan.
        state : State
        t_s : float
            Monotonic time [s].
        """
        self.heat.step(sensed, t_s)
        if sensed is None:
            return
        self.bank.note(sensed)
        self.opening.note(sensed)
        # a device has its own time to close, and says itself which strings it could not
        moving = state == State.PRECHARGE and self._authority == "openbms"
        if moving or state in (State.DRIVE, State.CHARGE, State.CONNECTED):
            closed = self.bank.closed_strings(sensed)
            others = closed.sum() - closed > 0
            spare = others | [self.closing.replaceable(string) for string in range(self.strings)]
            for string in self.isolation.step(sensed, t_s, spare):
                self.closing.lost(string, t_s)
                self.news["string_isolated"] = (math.nan, string)
        else:
            self.isolation.rest()

    def told(self, quantity: str) -> None:
        """Take note that the fault table has an event."""
        if quantity not in ("precharge_aborted_voltage", "precharge_aborted_current"):
            self.news.pop(quantity, None)

    def cleared(self, fault: str) -> None:
        """Take note that somebody has cleared a fault."""
        if fault == "STRING_ISOLATED":
            self.isolation.isolated.clear()
        elif fault == "PRECHARGE_TIMEOUT":
            self._forget_aborts()

    def _forget_aborts(self) -> None:
        for what in ("voltage", "current"):
            self.news.pop(f"precharge_aborted_{what}", None)

    def changes(self) -> tuple[int, ...]:
        """Give numbers that differ whenever the record is out of date."""
        return (
            *self.wear.openings.tolist(),
            *self.command[:, PRECHARGE].tolist(),
            *sorted(self.isolation.isolated),
        )

    def record(self, now_s: float) -> ContactorRecord:
        """Give what must be kept over a restart."""
        return ContactorRecord(
            openings=tuple(self.wear.openings.tolist()),
            openings_under_load=tuple(self.wear.openings_under_load.tolist()),
            broken_current_a=tuple(np.round(self.wear.broken_current_a, 1).tolist()),
            isolated=tuple(sorted(self.isolation.isolated)),
            precharge_heat=tuple(self.heat.stored()),
            written_s=now_s,
        )

    # ---- opening ----

    def begin_opening(self, previous: State, t_s: float) -> None:
        """Ask for zero current; a charger may hold the link up when the pack has left it."""
        self.closing.stop()
        self.opening.begin(t_s, link_tells=previous in (State.DRIVE, State.CONNECTED))

    def step_opening(self, sensed: Sensed | None, t_s: float, *, by_fault: bool) -> None:
        """Go on opening."""
        self.opening.step(sensed, t_s, by_fault=by_fault)
        self._report_opening()

    def open_at_once(self, t_s: float) -> None:
        """Open without waiting for zero current."""
        self.opening.at_once(t_s)
        self._report_opening()

    def _report_opening(self) -> None:
        if self._authority == "none":
            return
        for quantity, found in (
            ("opened_under_load", self.opening.under_load),
            ("contactor_not_open", self.opening.welded),
        ):
            if found is not None:
                self.news[quantity] = found
        self.opening.under_load = self.opening.welded = None

    def opened(self, sensed: Sensed | None, t_s: float) -> bool:
        """Tell whether everything is open; a contactor that does not follow in its time counts as welded
        elsewhere.
        """
        if self.opening.phase != OpeningPhase.LAST:
            return False
        if self._authority == "none":
            return True
        limit = self._contactors.opening_time_s
        if self._authority == "device":  # it takes its own time
            limit = max(limit, self._contactors.opening_deadline_s)
        timed_out = bool((self.age_s(t_s) >= limit).all())
        return timed_out or (sensed is not None and bool(self.bank.followed(sensed, t_s).all()))

    # ---- closing ----

    def begin_closing(self, target: State, sensed: Sensed, t_s: float) -> None:
        """Start to close."""
        self._given_up, self._begun_s = False, t_s
        self._forget_aborts()
        if self._authority == "openbms":
            self.closing.begin(target, sensed, t_s)

    def step_closing(self, sensed: Sensed, t_s: float) -> bool:
        """Go on closing.

        Returns
        -------
        bool
            Every string is closed or left out. ``failed`` tells of a closing that was given up.
        """
        if self._authority == "none":
            return True
        if self._authority == "device":
            return self._step_device(sensed, t_s)
        closing = self.closing
        done = closing.step(sensed, t_s)
        self._forget_aborts()
        if closing.aborted is not None:
            what, value, string = closing.aborted
            self.news[f"precharge_aborted_{what}"] = (value, string)
        if closing.welded is not None:
            self.news["contactor_not_open"] = closing.welded
        return done

    def step_closed(self, sensed: Sensed | None, t_s: float, *, may_close: bool) -> None:
        """Go on while strings are in use: what was left out joins when it fits.

        Parameters
        ----------
        sensed : Sensed or None
        t_s : float
            Monotonic time [s].
        may_close : bool
            Nothing forbids closing a contactor now.
        """
        if self._authority == "openbms" and sensed is not None:
            self.closing.join(sensed, t_s, allowed=may_close)

    def _step_device(self, sensed: Sensed, t_s: float) -> bool:
        for string in range(self.strings):
            self.bank.set(string, POSITIVE, 1, t_s)
            self.bank.set(string, NEGATIVE, 1, t_s)
        own = self._contactors.precharge
        allowed = own.timeout_s if own is not None else DEVICE_CLOSING_TIME_S
        followed = self.bank.followed(sensed, t_s)[:, :PRECHARGE].all(axis=1)
        if followed.all():
            self.closing.left_out = {}
            return True
        if t_s - self._begun_s < allowed:
            return False
        if not followed.any():
            self._given_up = True
            return False
        for missing in np.flatnonzero(~followed):
            self.bank.open_string(int(missing), t_s)
            self.closing.left_out[int(missing)] = LeftOut("device", "the device has not closed it")
        return True
