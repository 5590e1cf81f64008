"""Open the contactors: ask for zero current, wait for it, let the fuse melt, look for welds between the
steps.
"""

from __future__ import annotations

from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.contactor_bank import NEGATIVE, POSITIVE, PRECHARGE, ContactorBank, Sensed
from openbms_control.safety.wear import ContactorWear
from openbms_core.pack import PackFile

__all__ = ["Opening", "OpeningPhase"]


class OpeningPhase(Enum):
    """How far an opening is."""

    NONE = auto()
    ASKED = auto()
    """Zero current is requested."""
    FUSE = auto()
    """The deadline is over, but the current is the fuse's to break."""
    FIRST = auto()
    """One contactor of each string is opening, the other one still closed."""
    LAST = auto()
    """Everything is commanded open."""


class Opening:
    """One opening of all strings.

    At zero current one contactor of each string opens first, alternately the positive and the negative one,
    so that each is checked for a weld at every other opening; then the rest. In a fault, and under load, all
    open at once: reaction first, and two gaps break more than one.

    Parameters
    ----------
    pack : PackFile
    bank : ContactorBank
    wear : ContactorWear

    Attributes
    ----------
    phase : OpeningPhase
    deadline_s : float or None
        Monotonic time at which the contactors open whatever flows; None: not waiting for zero current.
    under_load : tuple of float and int, or None
        Largest current that was broken at the last opening [A], and its string; None: none.
    welded : tuple of float and int, or None
        Link voltage [V] and string where current went on, or the link did not fall, after the first contactor
        opened.
    """

    def __init__(self, pack: PackFile, bank: ContactorBank, wear: ContactorWear) -> None:
        self._contactors = pack.contactors
        self._bank, self._wear = bank, wear
        precharge = pack.contactors.precharge
        self._window_v = precharge.voltage_difference_max_v if precharge is not None else 0.0
        # the mean current of a scan still holds what flowed before the opening
        settle_s = pack.contactors.opening_time_s + 2.0 * pack.measurement.scan_period_s
        self._check_s = max(settle_s, pack.contactors.weld_check_s)
        self._deadband_a = pack.limits.current_deadband_a
        self._fuse_s = pack.contactors.fuse.wait_s if pack.contactors.fuse is not None else 0.0
        self.phase = OpeningPhase.NONE
        self.deadline_s: float | None = None
        self.under_load: tuple[float, int] | None = None
        self.welded: tuple[float, int] | None = None
        unknown = np.full(bank.strings, np.nan)
        self._last_a: NDArray[np.float64] = unknown
        self._before_last_a: NDArray[np.float64] = unknown
        self._scan_number = -1
        self._steps = pack.contactors.moved_by == "openbms"
        self._first_s = 0.0
        self._link_check = False
        self._connected: NDArray[np.bool_] = np.zeros(bank.strings, dtype=np.bool_)
        self._strings_v: NDArray[np.float64] = unknown

    @property
    def waiting(self) -> bool:
        """Zero current is awaited; no contactor has been told to open yet."""
        return self.phase in (OpeningPhase.ASKED, OpeningPhase.FUSE)

    def note(self, sensed: Sensed) -> None:
        """Keep the last currents that are known, for contactors that open without being told."""
        if sensed.scan_number != self._scan_number:
            self._scan_number = sensed.scan_number
            self._before_last_a = self._last_a
        self._last_a = np.where(
            np.isfinite(sensed.string_currents_a), np.abs(sensed.string_currents_a), self._before_last_a
        )

    def begin(self, t_s: float, *, link_tells: bool) -> None:
        """Ask for zero current.

        Parameters
        ----------
        t_s : float
            Monotonic time [s].
        link_tells : bool
            Nothing but the pack feeds the link, so that a link that does not fall tells of a weld.
        """
        self.phase = OpeningPhase.ASKED
        self.deadline_s = t_s + self._contactors.opening_deadline_s
        self.under_load, self.welded = None, None
        self._link_check = link_tells and self._contactors.weld_check_s > 0.0

    def hurry(self, within_s: float, t_s: float) -> None:
        """A fault asks for the opening: it must not take longer than this from now on."""
        if self.phase == OpeningPhase.FIRST:
            self._last(t_s)
        elif self.phase == OpeningPhase.ASKED and self.deadline_s is not None:
            self.deadline_s = min(self.deadline_s, t_s + within_s)

    def at_once(self, t_s: float) -> None:
        """Open without waiting: the device has opened already, under whatever current flowed before."""
        if self.waiting or self.phase == OpeningPhase.FIRST:
            self._break(np.fmax(self._last_a, self._before_last_a), t_s)

    def step(self, sensed: Sensed | None, t_s: float, *, by_fault: bool) -> None:
        """Go on opening; not in the step that asks for zero current."""
        if self.phase == OpeningPhase.FIRST:
            self._check_first(sensed, t_s)
        elif self.waiting:
            self._wait(sensed, t_s, by_fault)

    def _wait(self, sensed: Sensed | None, t_s: float, by_fault: bool) -> None:
        if sensed is not None and sensed.largest_current_a < self._contactors.break_current_a:
            if by_fault or not self._steps:
                self._last(t_s)
            else:
                self._begin_first(sensed, t_s)
            return
        assert self.deadline_s is not None
        over = t_s >= self.deadline_s
        melts = self._melts(sensed)
        if self.phase == OpeningPhase.ASKED and over and melts:
            self.phase, self.deadline_s = OpeningPhase.FUSE, t_s + self._fuse_s
        elif over or (self.phase == OpeningPhase.FUSE and not melts):
            self._break(self._last_a, t_s)

    def _melts(self, sensed: Sensed | None) -> bool:
        """Tell whether the current is the fuse's to break; one that is unknown is not waited for."""
        fuse = self._contactors.fuse
        return fuse is not None and sensed is not None and sensed.largest_current_a >= fuse.current_min_a

    def _break(self, currents_a: NDArray[np.float64], t_s: float) -> None:
        """Open all under load, as far as is known, and put it on record."""
        closed = self._bank.commanded_strings()
        broken = np.where(closed & (currents_a >= self._contactors.break_current_a), currents_a, 0.0)
        if broken.any():
            self.under_load = (float(broken.max()), int(broken.argmax()))
            self._wear.broke(broken)
        self._last(t_s)

    def _begin_first(self, sensed: Sensed, t_s: float) -> None:
        self.phase, self.deadline_s, self._first_s = OpeningPhase.FIRST, None, t_s
        self._connected = self._bank.commanded_strings()
        self._strings_v = np.where(self._connected, sensed.string_voltages_v, np.nan)
        first = POSITIVE if self._wear.positive_first else NEGATIVE
        for string in range(self._bank.strings):
            self._bank.set(string, first, 0, t_s)
            self._bank.set(string, PRECHARGE, 0, t_s)

    def _check_first(self, sensed: Sensed | None, t_s: float) -> None:
        """Open the rest when the first contactors are surely open, or have had their time."""
        waited_s = (t_s if sensed is None else sensed.measured_s) - self._first_s
        if sensed is not None and self._link_check and waited_s > 0.0 and self._fallen(sensed):
            self._last(t_s)
        elif waited_s >= self._check_s:
            self.welded = self._weld(sensed) if sensed is not None else None
            self._last(t_s)

    def _fallen(self, sensed: Sensed) -> bool:
        """Tell whether the link has left the voltage of every string that was connected."""
        drop_v = self._strings_v - sensed.link_voltage_v
        known = np.isfinite(drop_v)
        return bool(known.any() and (drop_v[known] > self._window_v).all())

    def _weld(self, sensed: Sensed) -> tuple[float, int] | None:
        """Give link voltage and string of a first contactor that has not opened, as far as can be seen."""
        flows = self._connected & (np.abs(sensed.string_currents_a) > self._deadband_a)
        if flows.any():
            return sensed.link_voltage_v, int(np.argmax(flows))
        drop_v = np.abs(self._strings_v - sensed.link_voltage_v)
        if self._link_check and np.isfinite(drop_v).any():
            return sensed.link_voltage_v, int(np.nanargmin(drop_v))
        return None

    def _last(self, t_s: float) -> None:
        self.phase, self.deadline_s = OpeningPhase.LAST, None
        self._wear.opened(self._bank.commanded_strings() | self._bank.command[:, :PRECHARGE].any(axis=1))
        self._bank.open_all(t_s)
