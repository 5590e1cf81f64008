"""What the monitor takes in: scans, power limits and the commands of others, each with its age."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openbms_control.safety.limits import usable
from openbms_control.safety.readings import PackFacts
from openbms_core.actuation import LONGEST_VALID_S, thermal_duties
from openbms_core.faults import driver_lost_after_s
from openbms_core.pack import PackFile
from openbms_core.topics import TOPIC_BY_NAME
from openbms_core.types import NO_SCAN, BalancingCommand, PackMeasurement, PowerLimits, ThermalCommand

__all__ = ["MAX_STAMP_STEP_S", "CommandIntake", "EstimateIntake", "ScanIntake", "TakenScan", "Wanted"]

MAX_STAMP_STEP_S = 1.0
"""A larger step of the stamps, or one backwards, is a clock that was set: the time of reception counts
instead."""
_ESTIMATE_MAX_AGE_S = TOPIC_BY_NAME["power_limits"].stale_after_s
_FOLLOWS_SCANS = 3.0
"""What is said of the bleeds may be so many scans behind the command; in a large pack some cell is switched
off in nearly every one of them."""


@dataclass(frozen=True)
class TakenScan:
    """A call of the monitor, with its scan where there is one.

    Attributes
    ----------
    scan : PackMeasurement or None
    step_s : float
        Time since the scan before [s].
    restarted : bool
        The driver has started anew: its scan number fell.
    repeated : bool
        The scan, or the last one where there is none now, has the number of the one before it.
    """

    scan: PackMeasurement | None = None
    step_s: float = 0.0
    restarted: bool = False
    repeated: bool = False


class ScanIntake:
    """The last scan, its time step and its age.

    Parameters
    ----------
    pack : PackFile
    facts : PackFacts

    Attributes
    ----------
    received_s : float
        Monotonic time of the last scan [s]; minus infinity: none.
    foreign : bool
        The last scan has not the lengths of this pack.
    count : int
        Scans that were taken: the driver's own numbers begin anew when it restarts.
    """

    def __init__(self, pack: PackFile, facts: PackFacts) -> None:
        self._facts = facts
        self.lost_after_s = driver_lost_after_s(pack)
        self.received_s = -math.inf
        self.foreign = False
        self.count = 0
        self._last: PackMeasurement | None = None
        self._repeated = False

    def take(self, m: PackMeasurement | None, t_s: float) -> TakenScan:
        """Keep a scan that has just been received."""
        if m is None:
            return TakenScan(repeated=self._repeated)
        self.foreign = not self._facts.fits(m)
        if self.foreign:
            return TakenScan()
        old, received_s = self._last, self.received_s
        self._last, self.received_s = m, t_s
        self.count += 1
        if old is None:
            return TakenScan(m)
        self._repeated = m.scan_number == old.scan_number
        step_s = m.stamp_s - old.stamp_s
        if not 0.0 <= step_s <= MAX_STAMP_STEP_S:
            step_s = t_s - received_s
        return TakenScan(m, max(step_s, 0.0), m.scan_number < old.scan_number, self._repeated)

    def fresh(self, t_s: float) -> PackMeasurement | None:
        """Give the last scan while the driver does not count as lost."""
        return self._last if t_s - self.received_s <= self.lost_after_s else None

    @property
    def number(self) -> int:
        """Number of the last scan; NO_SCAN before the first."""
        return self._last.scan_number if self._last is not None else NO_SCAN


class EstimateIntake:
    """The estimator's power limits, and how long they have stayed away while contactors were closed.

    Parameters
    ----------
    shutdown_after_s : float
        Time in limp-home after which the pack must be shut down [s].

    Attributes
    ----------
    received_s : float
        Monotonic time of the last power limits [s]; minus infinity: none.
    expired : bool
        Limp-home has lasted too long.
    """

    def __init__(self, shutdown_after_s: float) -> None:
        self._shutdown_after_s = shutdown_after_s
        self.given: PowerLimits | None = None
        self.received_s = -math.inf
        self.expired = False
        self._limp_since_s = -math.inf

    def take(self, limits: PowerLimits, t_s: float) -> None:
        """Take power limits that were received now."""
        self.given, self.received_s = limits, t_s

    def fresh(self, t_s: float) -> PowerLimits | None:
        """Give the power limits while they are fresh and state both directions."""
        given = self.given
        if given is None or not usable(given):
            return None
        # an estimator that claims more than the topic's own time is not believed
        return given if t_s - self.received_s <= min(_ESTIMATE_MAX_AGE_S, given.valid_for_s) else None

    def follow(self, t_s: float, *, closed: bool) -> None:
        """Run the time that is left in limp-home; it counts only while contactors are closed."""
        if self.fresh(t_s) is not None:
            self._limp_since_s, self.expired = -math.inf, False
        elif not closed:
            self._limp_since_s = -math.inf
        elif self._limp_since_s == -math.inf:
            self._limp_since_s = t_s
        elif t_s - self._limp_since_s >= self._shutdown_after_s:
            self.expired = True

    def shutdown_in_s(self, t_s: float) -> float:
        """Give the time that is left in limp-home [s]; NaN if it does not run."""
        if self._limp_since_s == -math.inf:
            return math.nan
        return max(0.0, self._limp_since_s + self._shutdown_after_s - t_s)


@dataclass(frozen=True)
class Wanted:
    """What actuators are told at this moment, as the driver arbitrates it.

    Attributes
    ----------
    bleed : array of bool, shape (cells,), or None
        Cells that are bled, or were told to be within the last scans; None: none.
    heater, pump, fan, chiller : float
        0 to 1.
    """

    bleed: NDArray[np.bool_] | None
    heater: float
    pump: float
    fan: float
    chiller: float


class CommandIntake:
    """The newest balancing and thermal commands, to see actuators that do not obey.

    The rules are the driver's own (DESIGN 5.2): nothing without a fresh command, the heater and bleeding only
    where the monitor's state allows them; cooling not below its safe values where the state requires it.

    Parameters
    ----------
    pack : PackFile
    """

    def __init__(self, pack: PackFile) -> None:
        self._safe = pack.thermal_safe
        self._balancing: BalancingCommand | None = None
        self._bled_s: NDArray[np.float64] = np.full(pack.topology.cell_count, -math.inf)
        self._follows_s = _FOLLOWS_SCANS * pack.measurement.scan_period_s
        self._thermal: ThermalCommand | None = None
        self._balancing_until_s = self._thermal_until_s = -math.inf

    def take_balancing(self, command: BalancingCommand, t_s: float) -> None:
        """Take a balancing command that was received now."""
        self._balancing = command
        self._balancing_until_s = t_s + min(command.valid_for_s, LONGEST_VALID_S)

    def take_thermal(self, command: ThermalCommand, t_s: float) -> None:
        """Take a thermal command that was received now."""
        self._thermal = command
        self._thermal_until_s = t_s + min(command.valid_for_s, LONGEST_VALID_S)

    def wanted(
        self, t_s: float, *, balancing_allowed: bool, heating_allowed: bool, cooling_required: bool
    ) -> Wanted:
        """Give what the driver tells the actuators now."""
        bleed: NDArray[np.bool_] | None = None
        if self._balancing is not None:
            told = np.asarray(self._balancing.bleed)
            fresh = balancing_allowed and t_s <= self._balancing_until_s
            if fresh and told.shape == self._bled_s.shape:  # another one is refused by the driver as well
                self._bled_s[told == 1] = t_s
            explained = t_s - self._bled_s <= self._follows_s
            bleed = explained if explained.any() else None
        duties = thermal_duties(
            self._thermal if t_s <= self._thermal_until_s else None,
            self._safe,
            heating_allowed=heating_allowed,
            cooling_required=cooling_required,
        )
        return Wanted(bleed, *duties)
