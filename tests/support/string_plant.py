"""Strings of cells in parallel behind contactors, with link, load and charger: small, and physically right.

Used where the monitor must be judged by what its commands do: equalising currents between strings, inrush
into an empty link, welds, contactors that fail. Currents are positive while charging.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["PlantRun", "StringPlant"]

EMPTY_CELL_V, FULL_CELL_V = 3.0, 4.2
CONTACT_OHM = 1e-3
STEP_S = 0.005


class StringPlant:
    """Strings with a linear voltage over their charge, a link capacitor, a load.

    Parameters
    ----------
    soc : sequence of float
        State of charge of each string.
    cells_in_series : int
    """

    def __init__(self, soc: Any, cells_in_series: int = 2) -> None:
        self.soc = np.array(soc, dtype=float)
        self.cells = cells_in_series
        strings = len(self.soc)
        self.capacity_ah = 3.0
        self.string_ohm = np.full(strings, 0.04 * cells_in_series)
        self.precharge_ohm = np.full(strings, 40.0)
        self.link_f, self.bleed_ohm = 2e-3, 1000.0
        self.link_v = 0.0
        self.load_a = 0.0
        """Current that load or charger push into the link when it is up [A]."""
        self.obeys = True
        """Load and charger go to zero when zero current is requested."""
        self.shorted_ohm = np.inf
        """Something on the link that should not be there."""
        self.held_v = np.nan
        """Something else holds the link at this voltage (a charger)."""
        self.contacts = np.zeros((strings, 3), dtype=bool)
        self.welded = np.zeros_like(self.contacts)
        self.dead = np.zeros_like(self.contacts)
        """Contacts that do not close, and fall open where they are closed."""
        self.stuck_feedback = np.full(self.contacts.shape, -1)
        """Auxiliary contact that always says this (0, 1); -1: it is sound."""
        self.travel_s = np.array([0.03, 0.015])
        self._waited_s = np.zeros(self.contacts.shape)
        self.currents_a = np.zeros(strings)
        self.inrush_a = 0.0
        """Largest current of a string that did not come from the load [A]: inrush and equalising."""

    def emf_v(self) -> np.ndarray:
        """Inner voltage of each string [V]."""
        return self.cells * (EMPTY_CELL_V + (FULL_CELL_V - EMPTY_CELL_V) * self.soc)

    def terminal_v(self) -> np.ndarray:
        """Voltage of each string on the battery side of its contactors [V]."""
        return np.asarray(self.emf_v() + self.currents_a * self.string_ohm)

    def feedback(self) -> np.ndarray:
        """What the auxiliary contacts say, shape (strings, 3)."""
        return np.where(self.stuck_feedback >= 0, self.stuck_feedback, self.contacts.astype(int))

    def _move(self, command: np.ndarray, dt_s: float) -> None:
        wanted = (command == 1) & ~self.dead
        wanted |= self.contacts & self.welded
        waiting = wanted != self.contacts
        self._waited_s = np.where(waiting, self._waited_s + dt_s, 0.0)
        travel_s = np.where(wanted, self.travel_s[0], self.travel_s[1])
        self.contacts = np.where(waiting & (self._waited_s >= travel_s), wanted, self.contacts)

    def step(self, command: np.ndarray, *, zero_current: bool, dt_s: float = STEP_S) -> None:
        """Go on by a moment in which all sources are constant; the link is solved exactly."""
        self._move(np.asarray(command).reshape(-1, 3), dt_s)
        positive, negative, precharge = self.contacts.T
        through = positive / CONTACT_OHM + precharge / self.precharge_ohm
        with np.errstate(divide="ignore"):
            ohm = np.where(negative & (through > 0), self.string_ohm + 1.0 / through, np.inf)
        conductance = 1.0 / ohm
        fed = bool((positive & negative).any())
        load_a = self.load_a if fed and not (zero_current and self.obeys) else 0.0
        total = conductance.sum() + 1.0 / self.bleed_ohm + 1.0 / self.shorted_ohm
        if np.isfinite(self.held_v):
            total, held = total + 1.0, self.held_v  # a stiff source of 1 ohm
        else:
            held = 0.0
        final_v = ((self.emf_v() * conductance).sum() + load_a + held) / total
        before_v = self.link_v
        self.link_v = max(0.0, final_v + (before_v - final_v) * np.exp(-dt_s * total / self.link_f))
        mean_v = final_v - (self.link_f * (self.link_v - before_v) / dt_s) / total
        self.currents_a = (mean_v - self.emf_v()) * conductance
        carried = load_a * conductance / max(conductance.sum(), 1e-9)
        self.inrush_a = max(self.inrush_a, float(np.abs(self.currents_a - carried).max()))
        self.soc += self.currents_a * dt_s / 3600.0 / self.capacity_ah


class PlantRun:
    """A monitor (``rig`` of the tests of openbms_control) on a plant that follows its commands.

    Parameters
    ----------
    rig : Rig
    plant : StringPlant
    ticks : int
        Calls of the monitor between two scans, as the node makes them.
    """

    def __init__(self, rig: Any, plant: StringPlant, ticks: int = 4) -> None:
        self.rig, self.plant, self.ticks = rig, plant, ticks
        self.temperature_degc = 25.0
        self.lost = False
        """Scans do not arrive."""
        self.wrong_v = np.zeros(len(plant.soc))
        """What each string's cells read too much [V]."""
        self._from_a: list[np.ndarray] = []

    def _plant(self, seconds: float) -> None:
        last = self.rig.last
        command = last.status.contactor_command if last is not None else np.zeros(self.plant.contacts.size)
        zero = last is not None and last.status.zero_current_requested
        for _ in range(round(seconds / STEP_S)):
            self.plant.step(command, zero_current=zero)
            self._from_a.append(self.plant.currents_a)

    def scan(self, **values: Any) -> Any:
        """Go on by one scan period, with ticks of the monitor in between."""
        rig, part_s = self.rig, self.rig.period_s / (self.ticks + 1)
        self._from_a = []
        for _ in range(self.ticks):
            self._plant(part_s)
            rig.tick(part_s)
        self._plant(part_s)
        if self.lost:
            return rig.tick(part_s)
        plant, passed = self.plant, np.array(self._from_a)
        rig.feedback = plant.feedback().ravel()
        cells_v = np.repeat((plant.terminal_v() + self.wrong_v) / plant.cells, plant.cells)
        return rig.step(
            part_s,
            **{
                "cells_v": cells_v,
                "current_a": passed.mean(axis=0),
                "string_current_minimum_a": passed.min(axis=0),
                "string_current_maximum_a": passed.max(axis=0),
                "link_v": plant.link_v,
                "temperature_degc": self.temperature_degc,
                **values,
            },
        )

    def run(self, seconds: float) -> Any:
        """Go on by as many scans as fit."""
        for _ in range(round(seconds / self.rig.period_s)):
            decision = self.scan()
        return decision

    def until(self, condition: Any, within_s: float) -> float:
        """Go on until the condition holds for the decision; give the time it took [s]."""
        start_s = self.rig.t_s
        while not condition(self.scan()):
            assert self.rig.t_s - start_s <= within_s, f"not within {within_s} s: {self.rig.last}"
        return float(self.rig.t_s - start_s)
