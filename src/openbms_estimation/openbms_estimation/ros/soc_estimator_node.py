"""Node `soc_estimator`: state of charge of every cell, of the strings and of the pack."""

from __future__ import annotations

from typing import Any

from openbms_core.config_file import ConfigError
from openbms_core.ros.convert import (
    measurement_from_msg,
    state_of_charge_to_msg,
    state_of_health_from_msg,
)
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.types import PackMeasurement, StateOfCharge
from openbms_estimation.ros.estimate_keeper import EstimateKeeper
from openbms_estimation.ros.inputs import KEEP_NOTHING, state_path
from openbms_estimation.soc.pack_estimator import QUALITY_GOOD, QUALITY_LOST
from openbms_estimation.soc.reported import soc_estimator_of
from openbms_estimation.soc.stored import StoredEstimate, load_estimate
from openbms_estimation.sop.health import CellHealth

__all__ = ["SocEstimatorNode", "main"]

_WAIT_S = 3.0
"""Wait this long for the first complete scan before a stored estimate is taken up with what there is [s]."""


class SocEstimatorNode(BmsNode):
    """Measurement in, state of charge out; one for one, with the measurement's own stamp and scan number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("soc_estimator", **kwargs)
        self._keeper: EstimateKeeper | None = None

    def declare(self) -> None:
        """Declare the node's own parameters."""
        self.parameter(
            "state_file",
            "",
            "The estimate, kept over a restart; empty: $XDG_STATE_HOME/openbms/<serial>/soc.json "
            f"(~/.local/state), and nowhere with simulated time; {KEEP_NOTHING}: nowhere",
        )
        self.parameter(
            "energy_power_w",
            0.0,
            "Power of the pack that remaining_energy is stated at [W]; 0: the mean of the recent load",
        )

    def configure(self) -> None:
        """Build the estimator that the pack file names."""
        power_w = float(self.value("energy_power_w"))
        if not power_w >= 0.0:
            raise ConfigError(
                f"soc_estimator: energy_power_w is {power_w:g}; give a discharge power in W, or 0 for the "
                "mean of the recent load."
            )
        self._estimator = soc_estimator_of(self.pack, power_w)
        self._publisher = self.publisher_for("soc")
        self._start = "no estimate was stored"
        self._first, self._waits_since_s = True, 0.0
        path = state_path(self, "soc.json")
        self._keeper = None if path is None else EstimateKeeper(path)
        self._stored = self._load()
        self.listen("soh", self._aged)
        self.listen("measurement", self._measured)

    def _measured(self, message: Any) -> None:
        measurement = measurement_from_msg(message)
        if self._first and not self._may_begin(measurement):
            return
        estimate = self._estimator.step(measurement)
        if self._stored is not None:
            contradictions = self._estimator.contradictions(self._stored, measurement)
            self._stored = None
            if contradictions:
                self._say_start(contradictions, good=False)
        self._publisher.publish(state_of_charge_to_msg(estimate, self.pack.file.serial))
        self._tell(estimate)
        if self._keeper is not None:
            self._keeper.take(self._estimator, estimate, self.monotonic_s())

    def _aged(self, message: Any) -> None:
        self._estimator.take_health(
            CellHealth.of(
                state_of_health_from_msg(message),
                self._estimator.model,
                self.pack.file.topology.cells_in_parallel,
            )
        )

    def _may_begin(self, measurement: PackMeasurement) -> bool:
        """Go on from a stored estimate; false while the scan that it needs is still to come."""
        if self._stored is not None and self._estimator.waits_to_resume(measurement):
            self._waits_since_s = self._waits_since_s or self.monotonic_s()
            if self.monotonic_s() - self._waits_since_s < _WAIT_S:
                return False
        self._first = False
        if self._stored is not None:
            resumed, text = self._estimator.resume(self._stored, measurement)
            self._say_start(text, good=resumed)
            self._stored = self._stored if resumed else None
        return True

    def _load(self) -> StoredEstimate | None:
        if self._keeper is None:
            return None
        stored, problem = load_estimate(
            self._keeper.path,
            serial=self.pack.file.serial,
            config_hash=self.pack.config_hash,
            method=self._estimator.method,
        )
        if problem:
            self._say_start(problem, good=False)
        return stored

    def _say_start(self, text: str, *, good: bool) -> None:
        self._start = text
        (self.get_logger().info if good else self.get_logger().warning)(text)

    def release(self) -> None:
        """Keep the last estimate."""
        if self._keeper is not None:
            self._keeper.close(self._estimator, self.monotonic_s())
            self._keeper = None

    def _tell(self, estimate: StateOfCharge) -> None:
        level = {QUALITY_GOOD: 0, QUALITY_LOST: 2}.get(estimate.quality, 1)
        problem = self._keeper.problem if self._keeper is not None else ""
        self.diagnostic(
            max(level, 1 if problem else 0),
            problem or estimate.quality_reason or "estimating",
            method=estimate.method,
            soc=f"{estimate.soc:.4f}",
            soc_std=f"{estimate.soc_std:.4f}",
            scan_number=estimate.scan_number,
            start=self._start,
        )


def main() -> None:
    """Run the node alone in a process."""
    run_nodes([SocEstimatorNode])


if __name__ == "__main__":
    main()
