"""The diagnosis of a whole pack: measurements and states of charge in, probabilities and findings out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openbms_core.models.ecm import CellModel
from openbms_core.models.two_node import TwoNodeThermal
from openbms_core.pack import LoadedPack
from openbms_core.types import CellDiagnosis, DiagnosisFinding, PackMeasurement, StateOfCharge
from openbms_estimation.diagnosis.blocks import Block, BlockBuilder
from openbms_estimation.diagnosis.cells import CellEvidence, StringCells
from openbms_estimation.diagnosis.change_model import ChangeModel
from openbms_estimation.diagnosis.decision import Alarms, posterior
from openbms_estimation.diagnosis.explain import (
    PhysicalScale,
    cell_finding,
    current_sensor_finding,
    runaway_finding,
    temperature_sensor_finding,
)
from openbms_estimation.diagnosis.robust import middle
from openbms_estimation.diagnosis.runaway import RunawayWatch
from openbms_estimation.diagnosis.sensors import CurrentSensor, SensorEvidence, StringSum, TemperatureSensors
from openbms_estimation.diagnosis.settings import CELL_CLASSES, QUICK_CLASSES, DiagnosisSettings
from openbms_estimation.soc.pack_estimator import CellLayout

__all__ = ["HEALTHY", "PackDiagnoser"]

FloatArray = NDArray[np.float64]

HEALTHY = 255
"""``most_likely`` of a cell of which no fault is more likely than health."""
_HELD = 0.2
"""Onsets of what is at least as likely are kept apart in memory."""
_TOLD = 0.05
"""Findings are given from this probability on."""
_VOLTAGE_SENSOR = CELL_CLASSES.index("voltage_sensor")
_OF_TEMPERATURE = np.array(
    [CELL_CLASSES.index("connection_resistance"), CELL_CLASSES.index("resistance_growth")]
)


class PackDiagnoser:
    """Diagnosis of one pack.

    Parameters
    ----------
    pack : LoadedPack
    settings : DiagnosisSettings, optional
    bleed_resistance_ohm : float
        Bleed resistor of each cell [Ω]; NaN: unknown, then self-discharge of cells that were bled is not
        judged.
    """

    def __init__(
        self,
        pack: LoadedPack,
        settings: DiagnosisSettings | None = None,
        *,
        bleed_resistance_ohm: float = math.nan,
    ) -> None:
        self.settings = s = settings or DiagnosisSettings()
        self.model = CellModel.from_file(pack.cell)
        self.layout = layout = CellLayout(pack)
        self._names = pack.file.topology.sensor_names
        self.blocks = BlockBuilder(self.model, layout, s.block_s)
        each = layout.n_cells // layout.strings
        self._slices = [slice(k * each, (k + 1) * each) for k in range(layout.strings)]
        self.capacity_ah = self.blocks.capacity_ah
        self.cells = [
            StringCells(
                self.model,
                each,
                s,
                capacity_ah=self.capacity_ah,
                bleed_resistance_ohm=bleed_resistance_ohm,
            )
            for _ in self._slices
        ]
        self.currents = [CurrentSensor(self.model, s) for _ in self._slices]
        self.sums = [StringSum(each, s, self.cells[0].drop_v) for _ in self._slices]
        at_cells = [i for i, (_, where, _) in enumerate(pack.file.topology.sensors) if where == "cell"]
        self.temperatures = TemperatureSensors(np.array(at_cells, np.intp), s)
        self.runaway = self._watch(pack, len(at_cells))
        hold_s = [s.alarm_s if fault in QUICK_CLASSES else s.slow_alarm_s for fault in CELL_CLASSES]
        self._cell_alarms = Alarms(layout.n_cells, s, hold_s)
        self._current_alarms = Alarms(layout.strings, s)
        self._temperature_alarms = Alarms(len(at_cells), s)
        self._suspicious = np.zeros(len(at_cells), bool)
        self.observed_s = 0.0
        self._since_evaluation_s = 0.0
        self._last_voltage_v = math.nan
        self._problem = "nothing was measured yet"
        self._result: CellDiagnosis | None = None

    def step(self, measurement: PackMeasurement, soc: StateOfCharge) -> CellDiagnosis | None:
        """Take a scan and its state of charge.

        Parameters
        ----------
        measurement : PackMeasurement
        soc : StateOfCharge
            Of the same scan.

        Returns
        -------
        CellDiagnosis or None
            A new diagnosis, where the hypotheses were compared again (see :attr:`latest` for the last one).
        """
        block = self.blocks.step(measurement)
        if block is None:
            return None
        self._take(block, soc)
        if self._since_evaluation_s < self.settings.evaluation_s - 1e-6:
            return None
        self._result = self._evaluate(measurement)
        self._since_evaluation_s = 0.0
        return self._result

    @staticmethod
    def _watch(pack: LoadedPack, sensors: int) -> RunawayWatch | None:
        """Build the watch of the temperatures for parallel groups; None where the cell file has no masses."""
        if pack.cell.thermal is None or not sensors:
            return None
        one, parallel = TwoNodeThermal.from_file(pack.cell.thermal), pack.file.topology.cells_in_parallel
        return RunawayWatch(
            sensors,
            TwoNodeThermal(
                one.core_j_per_k * parallel,
                one.surface_j_per_k * parallel,
                one.core_to_surface_k_per_w / parallel,
            ),
        )

    @property
    def latest(self) -> CellDiagnosis | None:
        """The last diagnosis; None before the first."""
        return self._result

    def _take(self, block: Block, soc: StateOfCharge) -> None:
        self._problem = ""
        self.temperatures.take(block)
        believed = self.temperatures.believed(block.temperatures_degc, self._suspicious)
        block = replace(block, cell_temperatures_degc=self._of_cells(believed))
        if not np.isfinite(soc.cell_soc).any():
            self._problem = "the state of charge is not known yet"
        elif not np.isfinite(block.rate_c).all():
            self._problem = "the current is not measured"
        for k, cells in enumerate(self._slices):
            self.cells[k].take(block, k, cells, soc.cell_soc[cells])
            self.currents[k].take(block, k, cells)
            self.sums[k].take(block, k, cells)
        self._watch_heat(block)
        self._last_voltage_v = middle(block.cell_voltages_v)
        z, degc = middle(soc.cell_soc), middle(block.cell_temperatures_degc)
        if math.isfinite(z):
            p = self.model.parameters(z, degc if math.isfinite(degc) else 25.0)
            self.blocks.relaxes_in(float(p.tau1_s), float(p.tau2_s))
        self.observed_s += block.duration_s
        self._since_evaluation_s += block.duration_s

    def _watch_heat(self, block: Block) -> None:
        if self.runaway is None:
            return
        drop_v = np.concatenate([string.drop_now_v for string in self.cells])
        current_a = np.nan_to_num(block.rate_c)[self.layout.string] * self.capacity_ah
        heat_w = np.abs(drop_v * current_a)
        places = self.temperatures.sensors
        of_sensor = np.zeros(len(self._names))
        near = self.layout.sensor >= 0
        np.maximum.at(of_sensor, self.layout.sensor[near], heat_w[near])
        self.runaway.step(block.temperatures_degc[places], of_sensor[places], block.duration_s + block.gap_s)

    def _of_cells(self, temperatures_degc: FloatArray) -> FloatArray:
        """Give the temperature of each cell [°C]; the middle of all where it has none of its own."""
        own = np.append(temperatures_degc, np.nan)[self.layout.sensor]
        missing = np.isnan(own)
        if missing.any() and not missing.all():
            own[missing] = middle(own)
        return own

    def _evaluate(self, m: PackMeasurement) -> CellDiagnosis:
        dt_s = self._since_evaluation_s
        prior = self.settings.prior_log_odds
        temperature = self.temperatures.evidence()
        of_sensor = posterior(temperature.evidence[:, None], temperature.evidence[:, None], prior)[:, 0]
        self._suspicious = np.nan_to_num(of_sensor) > 0.5
        current = [sensor.evidence() for sensor in self.currents]
        rare = self.settings.string_prior_log_odds
        of_string = np.array([posterior(e.evidence[None], e.evidence[None], rare)[0, 0] for e in current])
        found = [self._cell_evidence(k) for k in range(len(self._slices))]
        probability = np.concatenate([posterior(e.evidence, e.fit, prior) for e in found])
        self._temperature_alarms.step(of_sensor[:, None], dt_s)
        self._current_alarms.step(of_string[:, None], dt_s)
        total = probability.sum(axis=1)
        self._cell_alarms.step(probability, dt_s)
        self._hold(found, probability, current, of_string, temperature, of_sensor)
        with np.errstate(invalid="ignore"):
            # cells that a wrong temperature made look bad look well again now
            self._cell_alarms.withdraw(self._at_suspicious() & (total < self.settings.clear_probability))
            most_likely = np.where(total > 0.5, probability.argmax(axis=1), HEALTHY).astype(np.uint8)
        findings = self._cell_findings(found, probability, total)
        findings += self._sensor_findings(current, of_string, temperature, of_sensor)
        findings += self._runaway_findings()
        watch = self.runaway
        findings.sort(key=lambda finding: (-finding.alarm, -np.nan_to_num(finding.probability, nan=1.0)))
        return CellDiagnosis(
            stamp_s=m.stamp_s,
            scan_number=m.scan_number,
            faults=list(CELL_CLASSES),
            probability=probability.reshape(-1),
            most_likely=most_likely,
            current_sensor_probability=of_string,
            temperature_sensor_probability=self._at_sensors(of_sensor),
            excess_heat_w=self._at_sensors(watch.heat_w if watch is not None else None),
            excess_heat_std_w=self._at_sensors(watch.heat_std_w if watch is not None else None),
            runaway_warning=np.nan_to_num(
                self._at_sensors(watch.warning if watch is not None else None)
            ).astype(np.uint8),
            findings=findings,
            observed_s=self.observed_s,
            quality_reason=self._problem,
        )

    def _at_sensors(self, values: NDArray[Any] | None) -> FloatArray:
        """Give values of the sensors at cells in the pack's order; NaN elsewhere."""
        found = np.full(len(self._names), np.nan)
        if values is not None:
            found[self.temperatures.sensors] = values
        return found

    def _hold(
        self,
        found: list[CellEvidence],
        probability: FloatArray,
        current: list[SensorEvidence],
        of_string: FloatArray,
        temperature: SensorEvidence,
        of_sensor: FloatArray,
    ) -> None:
        """Remember apart what was before and after the onset of all that is possible."""
        with np.errstate(invalid="ignore"):
            for k, cells in enumerate(self._slices):
                total, best = probability[cells].sum(axis=1), np.nan_to_num(probability[cells]).argmax(axis=1)
                possible = np.flatnonzero(total > _HELD)
                possible = possible[np.argsort(-total[possible])]
                self.cells[k].changes.hold(found[k].onset_s[possible, best[possible]])
                self.currents[k].changes.hold(current[k].onset_s[of_string[k : k + 1] > _HELD])
            self.temperatures.changes.hold(temperature.onset_s[of_sensor > _HELD])

    def _cell_evidence(self, k: int) -> CellEvidence:
        cells = self._slices[k]
        found = self.cells[k].evidence()
        n = self.cells[k].cells
        if found is None:
            nan = np.full((n, len(CELL_CLASSES)), np.nan)
            return CellEvidence(nan, nan, nan, nan, nan)
        # a bias is missing in the sum of the string where that is measured apart
        for_bias = self.sums[k].for_bias(found.onset_s[:, _VOLTAGE_SENSOR], found.size[:, _VOLTAGE_SENSOR])
        for array in (found.evidence, found.fit):
            biased = array[:, _VOLTAGE_SENSOR]
            array[:, _VOLTAGE_SENSOR] = np.where(biased > 0.0, np.maximum(biased + for_bias, 0.0), 0.0)
        # where the temperature is wrong, the resistance that is expected from it is too
        found.evidence[np.ix_(self._at_suspicious()[cells], _OF_TEMPERATURE)] = 0.0
        return found

    def _at_suspicious(self) -> NDArray[np.bool_]:
        """Cells of which the temperature sensor is likely to be wrong."""
        wrong = np.zeros(len(self._names) + 1, bool)
        wrong[self.temperatures.sensors] = self._suspicious
        return np.asarray(wrong[self.layout.sensor])

    def _cell_findings(
        self, found: list[CellEvidence], probability: FloatArray, total: FloatArray
    ) -> list[DiagnosisFinding]:
        scale = PhysicalScale(self.capacity_ah, self._last_voltage_v)
        findings = []
        with np.errstate(invalid="ignore"):
            likely = np.flatnonzero((total > _TOLD) | self._cell_alarms.active)
        for cell in likely:
            row = np.nan_to_num(probability[cell])
            order = np.argsort(row)[::-1]
            k, i = divmod(int(cell), self.cells[0].cells)
            evidence, first, second = found[k], int(order[0]), int(order[1])
            findings.append(
                cell_finding(
                    CELL_CLASSES[first],
                    int(cell),
                    float(row[first]),
                    float(evidence.size[i, first]),
                    float(evidence.size_std[i, first]),
                    float(evidence.onset_s[i, first]),
                    bool(self._cell_alarms.active[cell]),
                    (CELL_CLASSES[second], float(row[second])),
                    scale,
                )
            )
        return findings

    def _sensor_findings(
        self,
        current: list[SensorEvidence],
        of_string: FloatArray,
        temperature: SensorEvidence,
        of_sensor: FloatArray,
    ) -> list[DiagnosisFinding]:
        scale = PhysicalScale(self.capacity_ah, self._last_voltage_v)
        findings = []
        for k, e in enumerate(current):
            if of_string[k] > _TOLD or self._current_alarms.active[k]:
                findings.append(
                    current_sensor_finding(
                        k,
                        bool(e.kind[0] == CurrentSensor.GAIN),
                        float(of_string[k]),
                        float(e.size[0]),
                        float(e.size_std[0]),
                        float(e.onset_s[0]),
                        bool(self._current_alarms.active[k]),
                        scale,
                    )
                )
        for i, sensor in enumerate(self.temperatures.sensors):
            if of_sensor[i] > _TOLD or self._temperature_alarms.active[i]:
                findings.append(
                    temperature_sensor_finding(
                        int(sensor),
                        self._names[sensor],
                        bool(temperature.kind[i] == TemperatureSensors.STUCK),
                        float(of_sensor[i]),
                        float(temperature.size[i]),
                        float(temperature.size_std[i]),
                        float(temperature.onset_s[i]),
                        bool(self._temperature_alarms.active[i]),
                    )
                )
        return findings

    def _runaway_findings(self) -> list[DiagnosisFinding]:
        watch = self.runaway
        if watch is None:
            return []
        return [
            runaway_finding(
                int(self.temperatures.sensors[i]),
                self._names[self.temperatures.sensors[i]],
                float(watch.heat_w[i]),
                float(watch.heat_std_w[i]),
            )
            for i in np.flatnonzero(watch.warning)
        ]

    # ---- over a restart ----

    def state(self) -> dict[str, FloatArray]:
        """Give what is remembered as arrays, by name."""
        arrays: dict[str, FloatArray] = {
            "observed_s": np.array([self.observed_s]),
            "last_s": np.array([self.blocks.last_s]),
            "counted": self.blocks.counted.copy(),
        }
        for name, part in self._parts().items():
            arrays |= {f"{name}.{key}": value for key, value in part.state().items()}
        for k, (cells, sensor) in enumerate(zip(self.cells, self.currents, strict=True)):
            arrays[f"cells{k}.bled"] = cells.bled.copy()
            arrays[f"cells{k}.bled_unknown_s"] = cells.bled_unknown_s.copy()
            arrays[f"origin{k}"] = np.array([cells.origin_s, sensor.origin_s])
        return arrays

    def _parts(self) -> dict[str, Alarms | ChangeModel]:
        parts: dict[str, Alarms | ChangeModel] = {"temperatures": self.temperatures.changes}
        for k in range(len(self._slices)):
            parts[f"cells{k}"] = self.cells[k].changes
            parts[f"current{k}"] = self.currents[k].changes
            parts[f"sum{k}"] = self.sums[k].changes
        parts["cell_alarms"] = self._cell_alarms
        parts["current_alarms"] = self._current_alarms
        parts["temperature_alarms"] = self._temperature_alarms
        return parts

    def resume(self, arrays: Mapping[str, FloatArray]) -> None:
        """Go on from what was remembered; to be called before the first :meth:`step`.

        Raises
        ------
        ValueError, KeyError
            It is not that of this pack.
        """
        for name, part in self._parts().items():
            start = f"{name}."
            part.resume({key[len(start) :]: a for key, a in arrays.items() if key.startswith(start)})
        counted = np.asarray(arrays.get("counted", np.nan), float)
        if counted.shape != self.blocks.counted.shape or not np.isfinite(counted).all():
            raise ValueError(f"counted has the shape {counted.shape}, not {self.blocks.counted.shape}")
        self.blocks.counted = counted.copy()
        for k, (cells, sensor) in enumerate(zip(self.cells, self.currents, strict=True)):
            bled = np.asarray(arrays.get(f"cells{k}.bled", np.nan), float)
            unknown_s = np.asarray(arrays.get(f"cells{k}.bled_unknown_s", np.nan), float)
            if bled.shape != cells.bled.shape or unknown_s.shape != bled.shape:
                raise ValueError(f"bled has the shape {bled.shape}, not {cells.bled.shape}")
            cells.bled, cells.bled_unknown_s = bled.copy(), np.nan_to_num(unknown_s, nan=-np.inf)
            cells.origin_s, sensor.origin_s = (float(v) for v in arrays[f"origin{k}"])
        self.observed_s = float(arrays["observed_s"][0])
        self.blocks.away_since(float(arrays["last_s"][0]))
