"""Contactors with their defects, and the link capacitor behind them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONTACTORS", "Contactors", "Link", "string_paths_ohm"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CONTACTORS = ("positive", "negative", "precharge")
"""Contactors of a string, in the order of every array here."""


@dataclass
class Contactors:
    """Three contactors a string: where their contacts really are.

    Parameters
    ----------
    strings : int
        Number of strings.
    travel_s : float
        A contact follows its command after this time.
    """

    strings: int = 1
    travel_s: float = 0.02
    closed: BoolArray = field(init=False)
    """Real contacts, shape (strings, 3)."""

    def __post_init__(self) -> None:
        self.closed = np.zeros((self.strings, len(CONTACTORS)), bool)
        self._waiting_s = np.zeros(self.closed.shape)

    def step(
        self,
        command: BoolArray,
        dt_s: float,
        *,
        welded: BoolArray | None = None,
        dead: BoolArray | None = None,
    ) -> None:
        """Move the contacts.

        Parameters
        ----------
        command : ndarray of bool, shape (strings, 3)
            Coil on.
        dt_s : float
            Time since the last call [s].
        welded, dead : ndarray of bool, shape (strings, 3), optional
            Contacts that do not open once they are closed, and contacts that do not close.
        """
        waiting = command != self.closed
        self._waiting_s = np.where(waiting, self._waiting_s + dt_s, 0.0)
        moves = waiting & (self._waiting_s > self.travel_s - 1e-9)
        if welded is not None:
            moves &= ~(self.closed & welded)
        if dead is not None:
            moves &= ~(~self.closed & dead)
        self.closed = np.where(moves, command, self.closed)


def string_paths_ohm(
    closed: BoolArray, precharge_ohm: float, main_ohm: float = 0.002, *, precharge_open: bool = False
) -> FloatArray:
    """Resistance of each string's way to the link [Ω]; infinite where it is open.

    Parameters
    ----------
    closed : ndarray of bool, shape (strings, 3)
        Positive, negative and precharge contacts.
    precharge_ohm, main_ohm : float
        Precharge resistor; main contacts with cables [Ω].
    precharge_open : bool
        The precharge resistor is burnt out.

    Returns
    -------
    ndarray, shape (strings,)
    """
    positive, negative, precharge = closed[:, 0], closed[:, 1], closed[:, 2]
    conductance = positive / main_ohm + (0.0 if precharge_open else 1.0) * precharge / precharge_ohm
    conductance = conductance * negative
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / conductance)


@dataclass
class Link:
    """Capacitor on the load side, with the resistor that discharges it.

    Parameters
    ----------
    capacitance_f : float
        [F]
    discharge_ohm : float
        [Ω]
    """

    capacitance_f: float = 1e-3
    discharge_ohm: float = 10_000.0
    voltage_v: float = 0.0

    def step(
        self,
        emf_v: FloatArray,
        resistance_ohm: FloatArray,
        load_current_a: float,
        dt_s: float,
        load_ohm: float = float("inf"),
    ) -> FloatArray:
        """Solve the link exactly for sources that are constant over the step.

        Parameters
        ----------
        emf_v : ndarray, shape (strings,)
            Inner voltage of each string [V].
        resistance_ohm : ndarray, shape (strings,)
            Inner resistance and way to the link of each string [Ω]; infinite where it is open.
        load_current_a : float
            What charger (positive) and load (negative) push into the link [A].
        dt_s : float
            Duration [s].
        load_ohm : float
            A resistor across the link, beside its own [Ω].

        Returns
        -------
        ndarray, shape (strings,)
            Mean current of each string over the step [A], positive: charging; exactly 0 where it is open.
        """
        conductance = 1.0 / resistance_ohm
        total = float(conductance.sum()) + 1.0 / self.discharge_ohm + 1.0 / load_ohm
        final_v = (float((emf_v * conductance).sum()) + load_current_a) / total
        before_v = self.voltage_v
        self.voltage_v = max(
            final_v + (before_v - final_v) * float(np.exp(-dt_s * total / self.capacitance_f)), 0.0
        )
        stored_a = self.capacitance_f * (self.voltage_v - before_v) / dt_s
        mean_v = final_v - stored_a / total
        return np.asarray((mean_v - emf_v) * conductance)
