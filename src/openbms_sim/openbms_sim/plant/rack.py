"""Packs in parallel on one DC bus: what each carries follows from all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from openbms_sim.interface import Inputs, Readings
from openbms_sim.plant.pack import OpenCircuit, PackPlant
from openbms_sim.plant.switching import Link

__all__ = ["RackPlant"]

FloatArray = NDArray[np.float64]


class RackPlant:
    """Physics of several packs whose links are one and the same bus.

    Currents divide by inner voltage and resistance, each step solved exactly for the bus capacitor and all
    packs together; packs of unequal voltage charge each other as soon as their contactors are closed.

    Parameters
    ----------
    packs : sequence of PackPlant
        Of one string each; their own links are not used.
    link : Link, optional
        The bus: capacitor and what discharges it.
    """

    def __init__(self, packs: Sequence[PackPlant], link: Link | None = None) -> None:
        if any(pack.strings != 1 for pack in packs):
            raise ValueError("a pack of a rack has one string")
        self.packs = tuple(packs)
        self.link = link or Link()
        self.load_a = 0.0
        """What inverter and auxiliaries pushed into the bus in the last step [A]."""

    def step(self, inputs: Sequence[Inputs], load_current_a: float, dt_s: float) -> list[Readings]:
        """Advance by ``dt_s`` seconds.

        Parameters
        ----------
        inputs : sequence of Inputs
            What acts on each pack; load and charger of a single pack are not heeded.
        load_current_a : float
            What the inverter pushes into the bus [A], positive charges; nothing where no pack feeds it.
        dt_s : float
            Duration [s].

        Returns
        -------
        list of Readings
            Of each pack.
        """
        pairs = list(zip(self.packs, inputs, strict=True))
        circuits = [pack.open_circuit(given, dt_s) for pack, given in pairs]
        emf_v = np.concatenate([circuit.emf_v for circuit in circuits])
        resistance_ohm = np.concatenate([circuit.resistance_ohm for circuit in circuits])
        self.load_a = self._load_a(circuits, load_current_a)
        # one thing across the bus, whoever of the packs tells of it
        load_ohm = min((given.link_load_ohm for given in inputs), default=np.inf)
        currents_a = self.link.step(emf_v, resistance_ohm, self.load_a, dt_s, load_ohm)
        return [
            pack.carry(given, circuit, currents_a[i : i + 1], dt_s, self.link.voltage_v)
            for i, ((pack, given), circuit) in enumerate(zip(pairs, circuits, strict=True))
        ]

    def _load_a(self, circuits: Sequence[OpenCircuit], wanted_a: float) -> float:
        """Current of inverter and thermal actuators of all packs [A]."""
        fed = [i for i, circuit in enumerate(circuits) if circuit.fed]
        if not fed:
            return 0.0
        conductance = np.array([1.0 / circuits[i].resistance_ohm[0] for i in fed])
        inner_v = np.array([circuits[i].emf_v[0] for i in fed])
        open_v = float((inner_v * conductance).sum() / conductance.sum())
        auxiliary_w = sum(self.packs[i].thermal.auxiliary_power_w for i in fed)
        return wanted_a - auxiliary_w / max(open_v, 1.0)
