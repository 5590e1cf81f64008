"""What a charging station offers, from the duty of its control pilot."""

from __future__ import annotations

import math

__all__ = ["pilot_current_a"]


def pilot_current_a(duty: float) -> float:
    """Give the mains current a line that the control pilot offers [A].

    Parameters
    ----------
    duty : float
        Duty of the 1 kHz pilot [0 to 1]; NaN if unknown.

    Returns
    -------
    float
        0 where the pilot allows no charging; NaN where it is unknown, or said by digital communication
        (3 to 7 %) instead.

    Notes
    -----
    Source: IEC 61851-1:2017, annex A (current to be drawn by duty cycle); SAE J1772 agrees between 10 and
    96 %: 0.6 A a per cent up to 85 %, then (duty - 64) times 2.5 A.
    """
    percent = round(100.0 * duty, 3)
    if math.isnan(percent) or 3.0 <= percent <= 7.0:
        return math.nan
    if percent < 8.0 or percent > 97.0:
        return 0.0
    if percent < 10.0:
        return 6.0
    if percent <= 85.0:
        return 0.6 * percent
    return 2.5 * (percent - 64.0) if percent <= 96.0 else 80.0
