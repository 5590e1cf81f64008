"""Node `soh_estimator`: capacity and resistance of every cell, and what the pack has been through."""

from __future__ import annotations

import math
from typing import Any

from openbms_core.ros.convert import measurement_from_msg, state_of_charge_from_msg, state_of_health_to_msg
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.types import PackMeasurement, StateOfHealth
from openbms_estimation.ros.estimate_keeper import EstimateKeeper
from openbms_estimation.ros.inputs import KEEP_NOTHING, RecentScans, state_path
from openbms_estimation.soc.stored import StoredEstimate, load_estimate
from openbms_estimation.soh.pack_estimator import METHOD, QUALITY_UNKNOWN, PackSohEstimator

__all__ = ["SohEstimatorNode", "main"]

_PERIOD_S = 5.0


class SohEstimatorNode(BmsNode):
    """Each state of charge with its measurement is taken; the state of health is told every five seconds, and
    when a cell's capacity was measured.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("soh_estimator", **kwargs)
        self._keeper: EstimateKeeper | None = None

    def declare(self) -> None:
        """Declare the node's own parameters."""
        self.parameter(
            "state_file",
            "",
            "The state of health, kept over a restart; empty: $XDG_STATE_HOME/openbms/<serial>/soh.json "
            f"(~/.local/state), and nowhere with simulated time; {KEEP_NOTHING}: nowhere",
        )

    def configure(self) -> None:
        """Build the estimator, and read what was kept."""
        self._estimator = PackSohEstimator(self.pack)
        self._publisher = self.publisher_for("soh")
        self._start = "no state of health was stored"
        path = state_path(self, "soh.json")
        self._keeper = None if path is None else EstimateKeeper(path)
        self._stored = self._load()
        self._measurements = RecentScans()
        self._told_s, self._told_pairs = -math.inf, 0
        self.listen("measurement", self._measurements.take)
        self.listen("soc", self._estimated)

    def _load(self) -> StoredEstimate | None:
        if self._keeper is None:
            return None
        stored, problem = load_estimate(
            self._keeper.path,
            serial=self.pack.file.serial,
            config_hash=self.pack.config_hash,
            method=METHOD,
        )
        if problem:
            self._say_start(problem, good=False)
        return stored

    def _say_start(self, text: str, *, good: bool) -> None:
        self._start = text
        (self.get_logger().info if good else self.get_logger().warning)(text)

    def _estimated(self, message: Any) -> None:
        scan = self._measurements.get(message.scan_number)
        if scan is None:
            return
        measurement = measurement_from_msg(scan)
        self._go_on(measurement)
        soc = state_of_charge_from_msg(message)
        self._estimator.step(measurement, soc)
        now_s = self.monotonic_s()
        if self._keeper is not None:
            self._keeper.take(self._estimator, soc, now_s)
        if now_s - self._told_s < _PERIOD_S and self._estimator.pairs_taken == self._told_pairs:
            return
        self._told_s, self._told_pairs = now_s, self._estimator.pairs_taken
        found = self._estimator.result()
        if found is not None:
            self._publisher.publish(state_of_health_to_msg(found, self.pack.file.serial))
            self._tell(found)

    def _go_on(self, measurement: PackMeasurement) -> None:
        """Take up what was stored, with the first scan that has a state of charge."""
        if self._stored is not None:
            resumed, text = self._estimator.resume(self._stored, measurement)
            self._stored = None
            self._say_start(text, good=resumed)

    def release(self) -> None:
        """Keep what is known."""
        if self._keeper is not None:
            self._keeper.close(self._estimator, self.monotonic_s())
            self._keeper = None

    def _tell(self, found: StateOfHealth) -> None:
        problem = self._keeper.problem if self._keeper is not None else ""
        self.diagnostic(
            1 if problem or found.quality == QUALITY_UNKNOWN else 0,
            problem or found.quality_reason or "estimating",
            soh=f"{found.soh:.3f}",
            soh_std=f"{found.soh_std:.3f}",
            weakest_cell=found.weakest_cell,
            equivalent_full_cycles=f"{found.equivalent_full_cycles:.2f}",
            start=self._start,
        )


def main() -> None:
    """Run the node alone in a process."""
    run_nodes([SohEstimatorNode])


if __name__ == "__main__":
    main()
