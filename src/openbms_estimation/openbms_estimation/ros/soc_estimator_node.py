"""Node `soc_estimator`: state of charge of every cell, of the strings and of the pack."""

from __future__ import annotations

from typing import Any

from openbms_core.ros.convert import measurement_from_msg, state_of_charge_to_msg
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.types import StateOfCharge
from openbms_estimation.soc.pack_estimator import QUALITY_GOOD, QUALITY_LOST, PackSocEstimator

__all__ = ["SocEstimatorNode", "main"]


class SocEstimatorNode(BmsNode):
    """Measurement in, state of charge out; one for one, with the measurement's own stamp and scan number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("soc_estimator", **kwargs)

    def configure(self) -> None:
        """Build the estimator that the pack file names."""
        self._estimator = PackSocEstimator(self.pack)
        self._publisher = self.publisher_for("soc")
        self.listen("measurement", self._measured)

    def _measured(self, message: Any) -> None:
        estimate = self._estimator.step(measurement_from_msg(message))
        self._publisher.publish(state_of_charge_to_msg(estimate, self.pack.file.serial))
        self._tell(estimate)

    def _tell(self, estimate: StateOfCharge) -> None:
        level = {QUALITY_GOOD: 0, QUALITY_LOST: 2}.get(estimate.quality, 1)
        self.diagnostic(
            level,
            estimate.quality_reason or "estimating",
            method=estimate.method,
            soc=f"{estimate.soc:.4f}",
            soc_std=f"{estimate.soc_std:.4f}",
            scan_number=estimate.scan_number,
        )


def main() -> None:
    """Run the node alone in a process."""
    run_nodes([SocEstimatorNode])


if __name__ == "__main__":
    main()
