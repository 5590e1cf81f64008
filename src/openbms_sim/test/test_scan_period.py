"""The twin scans as often as its pack file says."""

from __future__ import annotations

from typing import Any

import pytest

from openbms_core.pack import LoadedPack
from openbms_sim.twin import TICK_S, DigitalTwin


@pytest.mark.parametrize(("period_s", "ticks"), [(0.01, 1), (0.02, 2), (0.1, 10), (0.25, 25)])
def test_a_scan_ends_with_the_period_of_the_pack(
    pack: LoadedPack, plant_host: Any, period_s: float, ticks: int
) -> None:
    measurement = pack.file.measurement.model_copy(update={"scan_period_s": period_s})
    file = pack.file.model_copy(update={"measurement": measurement})
    before = plant_host.twin
    plant_host.twin = DigitalTwin(file, before.device._layouts, before.source)
    ends = []
    for tick in range(1, 4 * ticks + 1):
        plant_host.run(TICK_S)
        assert plant_host.count("Pack_Status") == plant_host.twin.scan_ended
        if plant_host.twin.scan_ended:
            ends.append(tick)
    assert ends == [ticks, 2 * ticks, 3 * ticks, 4 * ticks]
