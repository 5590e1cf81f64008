"""Thresholds of the thermal-runaway watch: keys ``runaway_…`` of the section ``protection`` of the pack file.

Where no source is named the value is this project's own, chosen over the courses of
``benchmarks/runaway_watch.py`` (which prints delays and false alarms for the values that stand here).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from openbms_core.config_file import NonNegative, Number, Positive, StrictModel

__all__ = ["RunawayProtection"]

Ratio = Annotated[Number, Field(gt=0, lt=1)]


class RunawayProtection(StrictModel):
    """Thresholds of the thermal-runaway watch."""

    runaway_temperature_max_degc: Number | None = None
    """Highest temperature at which the maker lets the cell work (GB 38031-2025 C.5.3.7 b). Absent:
    ``limits.discharge_temperature_max_degc.recommended``."""
    runaway_temperature_rate_k_per_s: Positive = 1.0
    """Rise of a sensor, sustained for 3 s (GB 38031-2025 C.5.3.7 c)."""
    runaway_peer_rate_k_per_s: Annotated[Number, Field(ge=0.01)] = 0.06
    """Rise of a sensor beyond its peers over about 40 s; over about 10 s three times as much."""
    runaway_temperature_above_peers_k: Positive = 15.0
    """A sensor that is so far above the median of all and still leaves them is evidence at half of that
    rate."""
    runaway_temperature_noise_k: NonNegative = 0.5
    """Standard deviation of a single temperature value: the windows are long enough for it."""
    runaway_voltage_dip_v: Positive = 0.1
    """A cell falls by this against its neighbours, and recovers: an internal short that burnt free. Half of
    it supports a rising temperature at the same place."""
    runaway_voltage_drop_ratio: Ratio = 0.25
    """Fall of a cell, as a part of its voltage before (GB 38031-2025 C.5.3.7 a)."""
    runaway_pressure_rise_pa: Positive = 2000.0
    """Rise of the pressure in the housing above its mean of a minute."""
    runaway_evidence_hold_s: Annotated[Number, Field(ge=5, le=3600)] = 120.0
    """Time for which an indicator counts beside others, and a warning stays."""
