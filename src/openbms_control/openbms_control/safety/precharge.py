"""Precharge: when the link is charged, why an attempt failed, and how hot the resistor has become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.contactor_bank import PRECHARGE, ContactorBank, Sensed
from openbms_core.faults import precharge_current_max_a
from openbms_core.pack import PackFile

__all__ = ["PrechargeJudge", "PrechargeState", "ResistorHeat"]


@dataclass(frozen=True)
class PrechargeState:
    """How far a precharge is.

    Attributes
    ----------
    difference_v, current_a : float
        Magnitudes; NaN where unknown.
    together : bool
        String and link voltage have come together.
    calm : bool
        No current is left (also where the string's current is not measured).
    """

    difference_v: float
    current_a: float
    together: bool
    calm: bool


class PrechargeJudge:
    """Judge a precharge by voltage and current.

    Parameters
    ----------
    pack : PackFile
    """

    def __init__(self, pack: PackFile) -> None:
        precharge = pack.contactors.precharge
        self.window_v = precharge.voltage_difference_max_v if precharge is not None else math.nan
        self.current_max_a = precharge_current_max_a(pack)
        self._current_known = pack.mapped("string_current_a")

    def state(self, sensed: Sensed, string: int) -> PrechargeState:
        """Judge the precharge of a string now."""
        difference = abs(float(sensed.string_voltages_v[string]) - sensed.link_voltage_v)
        current = abs(float(sensed.string_currents_a[string]))
        # a comparison with NaN is False: what is unknown is not complete
        return PrechargeState(
            difference_v=difference,
            current_a=current,
            together=difference < self.window_v,
            calm=current < self.current_max_a or not self._current_known,
        )


class ResistorHeat:
    """Heat in the precharge resistor of each string, counted in full attempts.

    What a resistor takes up in a time is the square of the voltage across it; so a full attempt (the whole
    time-out, the link at zero all the while) counts one, and one that charges the link in a tenth of the
    time-out only a few hundredths. It cools at a constant rate. A cold resistor bears the attempts of one
    closing.

    Parameters
    ----------
    pack : PackFile
    bank : ContactorBank
    heat : sequence of float
        What it has from before, in full attempts; shape (strings,).
    """

    def __init__(self, pack: PackFile, bank: ContactorBank, heat: Sequence[float]) -> None:
        precharge = pack.contactors.precharge
        own = precharge is not None and pack.contactors.moved_by == "openbms"
        self._settings = precharge if own else None
        self._bank = bank
        self.heat: NDArray[np.float64] = np.array(heat, dtype=np.float64)
        self._before_s: float | None = None

    def step(self, sensed: Sensed | None, t_s: float) -> None:
        """Heat what is on, cool all, for the time since the call before."""
        before_s, self._before_s = self._before_s, t_s
        if self._settings is None or before_s is None:
            return
        passed_s = t_s - before_s
        on = self._bank.command[:, PRECHARGE] == 1
        if on.any():
            share = np.ones(len(on))
            if sensed is not None:
                with np.errstate(divide="ignore", invalid="ignore"):
                    across = (sensed.string_voltages_v - sensed.link_voltage_v) / sensed.string_voltages_v
                share = np.nan_to_num(np.square(across), nan=1.0, posinf=1.0)
            self.heat += np.where(on, share * passed_s / self._settings.timeout_s, 0.0)
        self.cool(passed_s)

    def cool(self, passed_s: float) -> None:
        """Let a time pass in which none was on."""
        if self._settings is not None:
            self.heat = np.maximum(0.0, self.heat - passed_s / self._settings.cooling_time_s)

    def wait_s(self, string: int) -> float:
        """Give how long a string's resistor must cool before it has room for a full attempt [s]."""
        if self._settings is None:
            return 0.0
        beyond = float(self.heat[string]) - (self._settings.attempts - 1)
        return max(0.0, beyond * self._settings.cooling_time_s)

    def stored(self) -> list[float]:
        """Give what the record must keep: an attempt under way counts as a whole one, should the process
        die.
        """
        under_way = self._bank.command[:, PRECHARGE] if self._settings is not None else 0.0
        return [round(float(value), 3) for value in self.heat + under_way]
