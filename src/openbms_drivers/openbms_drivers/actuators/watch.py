"""Whether actuators do what they are told, from what they report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Lasting", "Problem", "actuator_problems", "charger_problems"]


class Problem(NamedTuple):
    """One sentence, and whether it is worse than a warning."""

    text: str
    severe: bool


class Lasting:
    """Tells how long conditions have lasted, each by its name."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def longer(self, name: str, present: bool, than_s: float, now_s: float) -> bool:
        """Tell whether a condition has been there for longer than a time."""
        if not present:
            self._since.pop(name, None)
            return False
        return now_s - self._since.setdefault(name, now_s) > than_s


def actuator_problems(
    name: str,
    told: float,
    feedback: float,
    *,
    fitted: bool,
    fault: float,
    tolerance: float,
    within_s: float,
    lasting: Lasting,
    now_s: float,
) -> list[Problem]:
    """Give what is wrong with an actuator.

    Parameters
    ----------
    name : str
        Of the actuator.
    told, feedback : float
        0 to 1 of full scale; NaN where the feedback is unknown.
    fitted : bool
        It has a feedback at all.
    fault : float
        1 where it reports a failure; NaN where that is unknown.
    tolerance, within_s : float
        Difference and time [s] that are granted.
    lasting : Lasting
    now_s : float
        Monotonic time [s].
    """
    problems = []
    if fault == 1.0:
        problems.append(Problem(f"{name} reports a failure.", False))
    silent = fitted and math.isnan(feedback)
    if lasting.longer(f"{name} silent", silent, within_s, now_s):
        problems.append(Problem(f"{name} is not heard: what it does is unknown.", False))
    excess, lack = feedback - told, told - feedback  # NaN: neither
    if lasting.longer(f"{name} excess", excess > tolerance, within_s, now_s):
        problems.append(
            Problem(f"{name} runs at {feedback:.0%} though it is told {told:.0%}: it does not stop.", True)
        )
    if lasting.longer(f"{name} lack", lack > tolerance, within_s, now_s):
        problems.append(
            Problem(f"{name} is told {told:.0%} and runs at {feedback:.0%}: it does not obey.", False)
        )
    return problems


def charger_problems(
    current_a: float,
    told_a: float,
    *,
    fitted: bool,
    faults: Iterable[str],
    tolerance_a: float,
    within_s: float,
    lasting: Lasting,
    now_s: float,
) -> list[Problem]:
    """Give what is wrong with a charger.

    Parameters
    ----------
    current_a : float
        What it reports [A]; NaN if unknown.
    told_a : float
        What it must not exceed [A].
    fitted : bool
        It reports its current.
    faults : iterable of str
        Names of the failures that it reports.
    tolerance_a, within_s : float
        Difference [A] and time [s] that are granted.
    lasting : Lasting
    now_s : float
        Monotonic time [s].
    """
    problems = [Problem(f"The charger reports {name.replace('_', ' ').lower()}.", False) for name in faults]
    if lasting.longer("charger silent", fitted and math.isnan(current_a), within_s, now_s):
        problems.append(Problem("The charger is not heard.", False))
    if lasting.longer("charger excess", current_a - told_a > tolerance_a, within_s, now_s):
        problems.append(
            Problem(f"The charger delivers {current_a:.1f} A though it is told {told_a:.1f} A.", True)
        )
    return problems
