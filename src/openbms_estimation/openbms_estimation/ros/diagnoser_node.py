"""Node `diagnoser`: how likely each fault of each cell and sensor is."""

from __future__ import annotations

import math
from typing import Any

from openbms_core.config_file import ConfigError
from openbms_core.ros.convert import cell_diagnosis_to_msg, measurement_from_msg, state_of_charge_from_msg
from openbms_core.ros.node_base import BmsNode, run_nodes
from openbms_core.types import CellDiagnosis
from openbms_estimation.diagnosis.pack_diagnoser import PackDiagnoser
from openbms_estimation.ros.diagnosis_keeper import DiagnosisKeeper
from openbms_estimation.ros.inputs import KEEP_NOTHING, RecentScans, state_path

__all__ = ["DiagnoserNode", "main"]

_PERIOD_S = 1.0


class DiagnoserNode(BmsNode):
    """Each state of charge with its measurement is taken; the last diagnosis is told once a second."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("diagnoser", **kwargs)
        self._keeper: DiagnosisKeeper | None = None

    def declare(self) -> None:
        """Declare the node's own parameters."""
        self.parameter(
            "bleed_resistance_ohm",
            0.0,
            "Bleed resistor of each cell [ohm], to subtract what balancing takes; 0: unknown, then the "
            "self-discharge of cells that were bled is not judged",
        )
        self.parameter(
            "state_file",
            "",
            "What was seen, kept over a restart; empty: $XDG_STATE_HOME/openbms/<serial>/diagnosis.json "
            f"(~/.local/state), and nowhere with simulated time; {KEEP_NOTHING}: nowhere",
        )

    def configure(self) -> None:
        """Build the diagnosis, and go on from what was kept."""
        ohm = float(self.value("bleed_resistance_ohm"))
        if not (math.isfinite(ohm) and ohm >= 0.0):
            raise ConfigError(
                f"diagnoser: bleed_resistance_ohm is {ohm}; give the resistance of the bleed resistors in "
                "ohm, such as 33.0, or 0 if it is not known."
            )

        def make() -> PackDiagnoser:
            return PackDiagnoser(self.pack, bleed_resistance_ohm=ohm if ohm > 0.0 else math.nan)

        path = state_path(self, "diagnosis.json")
        self._keeper = None if path is None else DiagnosisKeeper(path, self.pack)
        if self._keeper is None:
            self._diagnoser, self._start = make(), "nothing was kept"
        else:
            self._diagnoser, self._start = self._keeper.resume(make)
        self._publisher = self.publisher_for("diagnosis")
        self._measurements = RecentScans()
        self._told_s = -math.inf
        self.listen("measurement", self._measurements.take)
        self.listen("soc", self._estimated)

    def _estimated(self, message: Any) -> None:
        measurement = self._measurements.get(message.scan_number)
        if measurement is None:
            return
        self._diagnoser.step(measurement_from_msg(measurement), state_of_charge_from_msg(message))
        now_s = self.monotonic_s()
        if self._keeper is not None:
            self._keeper.take(self._diagnoser, now_s)
        if now_s - self._told_s < _PERIOD_S:
            return
        self._told_s = now_s
        found = self._diagnoser.latest
        if found is None:
            self.diagnostic(0, "collecting", start=self._start)
            return
        self._publisher.publish(cell_diagnosis_to_msg(found, self.pack.file.serial))
        self._tell(found)

    def _tell(self, found: CellDiagnosis) -> None:
        problem = self._keeper.problem if self._keeper is not None else ""
        alarms = [finding for finding in found.findings if finding.alarm]
        text = alarms[0].evidence if alarms else problem or found.quality_reason or "no fault is likely"
        self.diagnostic(
            1 if alarms or problem else 0,
            text,
            alarms=len(alarms),
            observed=f"{found.observed_s / 3600.0:.1f} h",
            start=self._start,
        )

    def release(self) -> None:
        """Keep what was seen."""
        if self._keeper is not None:
            self._keeper.close(self._diagnoser)
            self._keeper = None


def main() -> None:
    """Run the node alone in a process."""
    run_nodes([DiagnoserNode])


if __name__ == "__main__":
    main()
