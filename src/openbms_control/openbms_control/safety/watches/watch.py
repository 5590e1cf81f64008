"""What needs more than one scan to be judged: rates, standing values, the course of a thermal runaway."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from openbms_control.safety.readings.facts import Circumstances, PackFacts, Reading
from openbms_core.types import PackMeasurement

__all__ = ["Watch"]


class Watch(ABC):
    """Follow a pack from scan to scan; one object for the life of a monitor.

    A watch keeps only what it needs of the past, in arrays over cells or sensors, and forgets it over a gap:
    what was not seen is not judged.

    Parameters
    ----------
    facts : PackFacts
    """

    quantities: ClassVar[tuple[str, ...]]
    """Quantities of the fault table that it gives a reading of."""

    def __init__(self, facts: PackFacts) -> None:
        self.facts = facts

    @abstractmethod
    def step(self, m: PackMeasurement, now: Circumstances, step_s: float) -> dict[str, Reading]:
        """Take a scan.

        Parameters
        ----------
        m : PackMeasurement
        now : Circumstances
        step_s : float
            Time since the scan before [s]; 0 for the first one.

        Returns
        -------
        dict of str to Reading
            One for each of ``quantities``.
        """
