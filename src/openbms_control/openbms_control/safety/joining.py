"""When a string may be connected to others: voltage and current conditions, and why it is left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openbms_control.safety.contactor_bank import ContactorBank, Sensed
from openbms_core.pack import PackFile

__all__ = ["LEFT_OUT", "JoiningJudge", "LeftOut"]

LEFT_OUT: dict[str, str] = {
    "voltage": "Its voltage is too far from that of the link, or of a closed string.",
    "current": "Too much current flows while it would join.",
    "voltage_unknown": "Its voltage, or that of the link, is not known.",
    "waiting": "It fits, or its turn has not come; it joins next.",
    "blocked": "It was about to join when closing became forbidden.",
    "isolated": "One of its own contactors failed; it stays out until STRING_ISOLATED is cleared by name.",
    "device": "The device, which moves its own contactors, has not closed it.",
}
"""Why a string is not connected."""


@dataclass(frozen=True)
class LeftOut:
    """Why a string is not connected.

    Attributes
    ----------
    code : str
        One of :data:`LEFT_OUT`.
    text : str
        The same for people, as the end of a sentence about the string.
    """

    code: str
    text: str


class JoiningJudge:
    """Judge whether a string fits to those that are closed.

    Between strings of different voltage current flows as soon as they are connected, limited only by their
    inner resistances; and a string that carries load has another voltage than it will have without.

    Parameters
    ----------
    pack : PackFile
    bank : ContactorBank

    Attributes
    ----------
    settle_s : float
        Time for which a string must fit.
    """

    def __init__(self, pack: PackFile, bank: ContactorBank) -> None:
        contactors, own = pack.contactors, pack.contactors.joining
        precharge, window_v = contactors.precharge, own.voltage_difference_max_v
        self._window_v = (
            window_v
            if window_v is not None
            else precharge.voltage_difference_max_v
            if precharge is not None
            else 0.0
        )
        self._current_a = own.current_max_a if own.current_max_a is not None else contactors.break_current_a
        self.settle_s = own.settle_s
        self._bank = bank
        self._fits_since: dict[int, tuple[float, int]] = {}

    def misfit(self, string: int, sensed: Sensed) -> LeftOut | None:
        """Give why a string does not fit now; None: it fits."""
        own_v = float(sensed.string_voltages_v[string])
        others_v = sensed.string_voltages_v[self._bank.commanded_strings()]
        differences = np.abs(np.append(others_v, sensed.link_voltage_v) - own_v)
        if not np.isfinite(differences).all():
            return LeftOut("voltage_unknown", "its voltage, or that of the link, is not known")
        worst = float(differences.max())
        if worst > self._window_v:
            return LeftOut(
                "voltage", f"its {own_v:.1f} V are {worst:.1f} V off, at most {self._window_v:g} V may be"
            )
        if not sensed.largest_current_a <= self._current_a:
            return LeftOut(
                "current",
                f"{sensed.largest_current_a:.1f} A flow, at most {self._current_a:g} A may while it joins",
            )
        return None

    def ready(self, string: int, sensed: Sensed, t_s: float) -> LeftOut | None:
        """Give why a string may not be connected yet; None: it has fitted for long enough, in several
        scans.
        """
        wrong = self.misfit(string, sensed)
        if wrong is not None:
            self._fits_since.pop(string, None)
            return wrong
        since_s, scan = self._fits_since.setdefault(string, (t_s, sensed.scan_number))
        if t_s - since_s >= self.settle_s and sensed.scan_number != scan:
            return None
        return LeftOut("waiting", "it fits, and joins when it has fitted for a while")

    def forget(self) -> None:
        """Let every string begin anew to fit."""
        self._fits_since.clear()
