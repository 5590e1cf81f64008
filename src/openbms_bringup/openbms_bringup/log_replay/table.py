"""The scans of a replay as a Parquet file: a row a scan, a column a value."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import Self

from openbms_control.safety.decision import Decision
from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack
from openbms_core.types import PackMeasurement

__all__ = ["ScanTable"]

_ROWS = 5_000
_ARRAYS = {
    "cell_voltage_v": "cell_voltages_v",
    "redundant_cell_voltage_v": "redundant_cell_voltages_v",
    "temperature_degc": "temperatures_degc",
    "string_current_a": "string_currents_a",
    "redundant_string_current_a": "redundant_string_currents_a",
    "string_charge_counter_ah": "string_charge_counters_ah",
    "string_voltage_v": "string_voltages_v",
    "actuator_feedback": "actuator_feedback",
}
_SCALARS = (
    "link_voltage_v", "insulation_resistance_ohm", "pressure_pa", "supply_voltage_v", "coolant_flow_m3_per_s",
    "auxiliary_power_w", "reported_cell_voltage_minimum_v", "reported_cell_voltage_maximum_v",
    "reported_temperature_minimum_degc", "reported_temperature_maximum_degc", "reported_soc",
    "reported_charge_current_limit_a", "reported_discharge_current_limit_a",
)  # fmt: skip
_SWITCHES = ("interlock", "emergency_stop", "ignition", "charging_plug", "smoke", "gas")
_UNKNOWN = 255


class ScanTable:
    """Writes scans while they come; only what the pack measures has a column, and what is not valid is null.

    Parameters
    ----------
    path : Path
        ``.parquet``.
    pack : LoadedPack
        Tells what is measured.
    told : dict
        Goes into the metadata (``openbms``), as text.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """

    def __init__(self, path: Path, pack: LoadedPack, told: dict[str, str]) -> None:
        self._path = path
        file = pack.file
        self._arrays = [(name, attribute) for name, attribute in _ARRAYS.items() if file.mapped(name)]
        self._scalars = [name for name in _SCALARS if file.mapped(name)]
        self._switches = [name for name in _SWITCHES if file.mapped(name)]
        self._contactors = any(
            file.mapped(f"contactor_{name}") for name in ("positive", "negative", "precharge")
        )
        sizes = file.sizes()
        names: list[tuple[str, Any]] = [("time_s", pa.float64()), ("closed_s", pa.float64())]
        names += [("scan", pa.int64()), ("bus", pa.string())]
        for name, _ in self._arrays:
            kind = pa.float64()
            names += [(f"{name}_{index}", kind) for index in range(sizes[name])]
            if name == "string_current_a":
                for extra in ("minimum_a", "maximum_a", "charge_ah"):
                    names += [(f"string_{extra}_{index}", kind) for index in range(sizes[name])]
        names += [(name, pa.float64()) for name in self._scalars]
        names += [(name, pa.bool_()) for name in self._switches]
        if self._contactors:
            names += [(f"contactor_{index}", pa.bool_()) for index in range(3 * file.topology.strings)]
        names += [("state", pa.string()), ("faults", pa.string())]
        names += [("limit_charge_a", pa.float64()), ("limit_discharge_a", pa.float64())]
        self._schema = pa.schema(names, metadata={f"openbms.{key}": text for key, text in told.items()})
        self._rows: list[list[Any]] = []
        try:
            self._writer = pq.ParquetWriter(path, self._schema)
        except OSError as error:
            raise ConfigError(
                f"-o {path}: cannot be written ({error}). Give a .parquet file in a folder that is there."
            ) from error

    def add(self, scan: PackMeasurement, at_s: float, decision: Decision) -> None:
        """Add a row; ``at_s`` is when the scan was closed."""
        row: list[Any] = [scan.stamp_s, at_s, scan.scan_number, scan.bus_state.name]  # type: ignore[attr-defined]
        for name, attribute in self._arrays:
            row += getattr(scan, attribute).tolist()
            if name == "string_current_a":
                row += scan.string_current_minimum_a.tolist() + scan.string_current_maximum_a.tolist()
                row += scan.string_charge_increments_ah.tolist()
        row += [getattr(scan, name) for name in self._scalars]
        row += [_flag(getattr(scan, name)) for name in self._switches]
        if self._contactors:
            row += [_flag(value) for value in scan.contactor_feedback.tolist()]
        limits = decision.limits
        faults = " ".join(entry.row.id for entry in decision.faults if entry.state.name != "PENDING")
        row += [decision.status.state.name, faults, limits.charge_current_a, limits.discharge_current_a]
        self._rows.append(row)
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = list(zip(*self._rows, strict=True))
        arrays = [
            pa.array(
                [None if isinstance(value, float) and math.isnan(value) else value for value in column],
                type=field.type,
            )
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the rest; where the replay failed, no half table is left behind."""
        if kind is None:
            self._flush()
            self._writer.close()
        else:
            self._writer.close()
            self._path.unlink(missing_ok=True)


def _flag(value: int) -> bool | None:
    return None if value == _UNKNOWN else bool(value)
