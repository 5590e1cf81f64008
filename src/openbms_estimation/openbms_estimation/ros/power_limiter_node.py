"""Node `power_limiter`: advisory power limits over several horizons."""

from __future__ import annotations

import math
from typing import Any

from openbms_core.config_file import ConfigError
from openbms_core.ros.convert import (
    measurement_from_msg,
    power_limits_to_msg,
    state_of_charge_from_msg,
    state_of_health_from_msg,
)
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_estimation.ros.inputs import RecentScans
from openbms_estimation.sop.health import CellHealth
from openbms_estimation.sop.pack_limiter import HORIZONS_S
from openbms_estimation.sop.reported import power_limiter_of

__all__ = ["PowerLimiterNode", "main"]

_LONGEST_PERIOD_S = 0.5


class PowerLimiterNode(BmsNode):
    """Each state of charge with the measurement that it was computed from gives one message of limits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("power_limiter", **kwargs)

    def declare(self) -> None:
        """Declare the horizons."""
        self.parameter(
            "horizons_s", list(HORIZONS_S), "Times for which each limit shall hold [s], each above 0"
        )

        self.parameter(
            "period_s",
            0.0,
            "Shortest time between two messages [s], at most 0.5; 0: one for each state of charge (most of "
            "what many packs on one computer cost)",
        )

    def configure(self) -> None:
        """Build the limiter."""
        if not 0.0 <= self.value("period_s") <= _LONGEST_PERIOD_S:
            raise ConfigError(
                f"power_limiter: period_s is {self.value('period_s'):g}; give 0 to {_LONGEST_PERIOD_S:g} s: "
                "the safety monitor takes limits that are older than a second for lost."
            )
        self._next_s = -math.inf
        horizons_s = tuple(float(h) for h in self.value("horizons_s"))
        if not horizons_s or min(horizons_s) <= 0.0:
            raise ConfigError(
                f"power_limiter: horizons_s is {list(horizons_s)}; give times above 0 s, such as [2, 10, 30]."
            )
        self._limiter = power_limiter_of(self.pack, horizons_s)
        self._publisher = self.publisher_for("power_limits")
        self._measurements = RecentScans()
        self._health: CellHealth | None = None
        self.listen("measurement", self._measurements.take)
        self.listen("soh", self._aged)
        self.listen("soc", self._estimated)

    def _aged(self, message: Any) -> None:
        self._health = CellHealth.of(
            state_of_health_from_msg(message),
            self._limiter.model,
            self.pack.file.topology.cells_in_parallel,
        )

    def _estimated(self, message: Any) -> None:
        measurement = self._measurements.get(message.scan_number)
        now_s = self.monotonic_s()
        if measurement is None or now_s < self._next_s:
            return
        # less a part of a scan, so that a scan that comes a little early is not left out for another one
        self._next_s = now_s + self.value("period_s") - 0.4 * self.pack.file.measurement.scan_period_s
        limits = self._limiter.step(
            measurement_from_msg(measurement), state_of_charge_from_msg(message), self._health
        )
        if limits is None:
            self.diagnostic(1, "no limits: state of charge or current is unknown")
            return
        self._publisher.publish(power_limits_to_msg(limits, self.pack.file.serial))
        self.diagnostic(
            0,
            "limiting",
            charge=f"{limits.charge_current_a[1 if len(limits.horizons_s) > 1 else 0]:.1f} A",
            discharge=f"{limits.discharge_current_a[1 if len(limits.horizons_s) > 1 else 0]:.1f} A",
        )


def main() -> None:
    """Run the node alone in a process."""
    run_nodes([PowerLimiterNode])


if __name__ == "__main__":
    main()
