"""Cell file: what is known of one type of cell, with where it is known from.

One YAML file per cell (``config/cells/<cell>.yaml``). Every key carries its unit; tables are lists of rows,
one row per temperature breakpoint, one column per state-of-charge breakpoint. :func:`load_cell` reads and
checks the file, :class:`openbms_core.models.ecm.CellModel` computes with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from openbms_core.config_file import NonNegative, Number, Positive, StrictModel, Unit, load_config

__all__ = [
    "CellFile",
    "DepletionTable",
    "EntropicTable",
    "FitResidual",
    "ImpedanceTables",
    "ModelErrorTables",
    "OcvTables",
    "PlatingMap",
    "Provenance",
    "PulseTables",
    "ThermalProperties",
    "load_cell",
]

Row = Annotated[list[Number], Field(min_length=2)]
Table = Annotated[list[Row], Field(min_length=1)]
SocAxis = Annotated[list[Unit], Field(min_length=2)]
TemperatureAxis = Annotated[list[Annotated[Number, Field(ge=-60, le=120)]], Field(min_length=1)]


def _rising(name: str, values: list[float]) -> None:
    for index in range(1, len(values)):
        if not values[index] > values[index - 1]:
            raise ValueError(
                f"{name} must rise strictly, but value {index} is {values[index]} after {values[index - 1]}: "
                "sort the breakpoints and remove repeated ones"
            )


def _shaped(name: str, table: list[list[float]], rows: int, columns: int) -> None:
    if len(table) != rows:
        raise ValueError(
            f"{name} has {len(table)} rows, but there are {rows} temperature breakpoints: give one row "
            f"for each"
        )
    for index, row in enumerate(table):
        if len(row) != columns:
            raise ValueError(
                f"{name} row {index} has {len(row)} values, but there are {columns} SoC breakpoints: "
                "give one value for each"
            )


def _above(name: str, table: list[list[float]], least: float, *, equal: bool = False) -> None:
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            if value < least or (value == least and not equal):
                raise ValueError(
                    f"{name} row {i} value {j} is {value}: it must be {'at least' if equal else 'above'} "
                    f"{least}"
                )


class OcvTables(StrictModel):
    """Open-circuit voltage over SoC and temperature, for both directions of the current."""

    soc_breakpoints: SocAxis
    """State of charge of the columns, 0 to 1 inclusive, rising."""
    temperature_breakpoints_degc: TemperatureAxis
    """Cell temperature of the rows [°C], rising."""
    discharge_v: Table
    """OCV [V] reached by discharging."""
    charge_v: Table | None = None
    """OCV [V] reached by charging; absent: as discharging (no hysteresis)."""
    hysteresis_soc: Annotated[Number, Field(gt=0, le=0.5)] = 0.05
    """Charge, as a part of the capacity, that carries the cell half-way between the two branches."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _rising("soc_breakpoints", self.soc_breakpoints)
        _rising("temperature_breakpoints_degc", self.temperature_breakpoints_degc)
        if self.soc_breakpoints[0] != 0.0 or self.soc_breakpoints[-1] != 1.0:
            raise ValueError("soc_breakpoints must run from 0 to 1: add rows for both ends")
        shape = (len(self.temperature_breakpoints_degc), len(self.soc_breakpoints))
        for name, table in (("discharge_v", self.discharge_v), ("charge_v", self.charge_v)):
            if table is None:
                continue
            _shaped(name, table, *shape)
            _above(name, table, 0.0)
            for index, row in enumerate(table):
                _rising(f"{name} row {index} (open-circuit voltage over SoC)", row)
        if self.charge_v is not None:
            for i, (up, down) in enumerate(zip(self.charge_v, self.discharge_v, strict=True)):
                for j, (u, d) in enumerate(zip(up, down, strict=True)):
                    if u < d:
                        raise ValueError(
                            f"charge_v row {i} value {j} is {u}, below discharge_v ({d}): "
                            "the charge branch cannot lie below the discharge branch; are they swapped?"
                        )
        return self


class ImpedanceTables(StrictModel):
    """Overpotential over SoC and temperature: instantaneous part and two RC pairs."""

    soc_breakpoints: SocAxis
    temperature_breakpoints_degc: TemperatureAxis
    r0_ohm: Table
    """Instantaneous resistance at small current [Ω] (all that has settled within about 0.5 s)."""
    kinetic_resistance_ohm: Table | None = None
    """Part of ``r0_ohm`` [Ω] that saturates with current as asinh (charge transfer); absent: nothing does."""
    kinetic_current_a: list[Positive] | None = None
    """Current [A] at which it saturates, one value per temperature breakpoint."""
    r1_ohm: Table
    """Resistance of the fast RC pair [Ω]."""
    tau1_s: Table
    """Time constant of the fast RC pair [s]."""
    r2_ohm: Table
    """Resistance of the slow RC pair [Ω]."""
    tau2_s: Table
    """Time constant of the slow RC pair [s]."""
    activation_energy_cold_j_per_mol: Annotated[Number, Field(ge=0, le=150_000)] = 30_000.0
    """Arrhenius activation energy of the resistances below the coldest row [J/mol]."""
    activation_energy_hot_j_per_mol: Annotated[Number, Field(ge=0, le=150_000)] = 20_000.0
    """The same above the hottest row [J/mol]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _rising("soc_breakpoints", self.soc_breakpoints)
        _rising("temperature_breakpoints_degc", self.temperature_breakpoints_degc)
        shape = (len(self.temperature_breakpoints_degc), len(self.soc_breakpoints))
        for name in ("r0_ohm", "r1_ohm", "tau1_s", "r2_ohm", "tau2_s"):
            table: list[list[float]] = getattr(self, name)
            _shaped(name, table, *shape)
            _above(name, table, 0.0)
        if (self.kinetic_resistance_ohm is None) != (self.kinetic_current_a is None):
            raise ValueError(
                "kinetic_resistance_ohm and kinetic_current_a belong together: give both or neither"
            )
        if self.kinetic_resistance_ohm is not None and self.kinetic_current_a is not None:
            _shaped("kinetic_resistance_ohm", self.kinetic_resistance_ohm, *shape)
            _above("kinetic_resistance_ohm", self.kinetic_resistance_ohm, 0.0, equal=True)
            if len(self.kinetic_current_a) != shape[0]:
                raise ValueError(
                    f"kinetic_current_a has {len(self.kinetic_current_a)} values, but there are {shape[0]} "
                    "temperature breakpoints: give one value for each"
                )
            for i, (part, total) in enumerate(zip(self.kinetic_resistance_ohm, self.r0_ohm, strict=True)):
                for j, (p, t) in enumerate(zip(part, total, strict=True)):
                    if p > t:
                        raise ValueError(
                            f"kinetic_resistance_ohm row {i} value {j} is {p}, above r0_ohm ({t})"
                        )
        return self


class ModelErrorTables(StrictModel):
    """How far the model is from the cell: standard deviations from the residuals of the fit.

    The slow error keeps its value while the OCV moves by ``correlation_v`` and over ``correlation_time_s``;
    an estimator must not average it away as if it were noise. (Volts, not SoC: where the OCV is steep its
    error changes fast.)
    """

    soc_breakpoints: SocAxis
    temperature_breakpoints_degc: TemperatureAxis
    slow_std_v: Table
    """Standard deviation of the slow voltage error [V] (OCV, diffusion)."""
    correlation_v: Annotated[Number, Field(gt=0, le=1)] = 0.03
    correlation_time_s: Positive = 3600.0
    fast_overpotential_ratio: Annotated[Number, Field(ge=0, le=1)] = 0.05
    """Standard deviation of the fast voltage error as a part of the instantaneous overpotential."""
    resistance_relative_std: list[Annotated[Number, Field(gt=0, le=1)]]
    """Standard deviation of the error of the instantaneous resistance, one value per temperature
    breakpoint."""
    shared_resistance_error: Unit = 1.0
    """Part of that error which the RC pairs share: all of it where tests tell how R0 and the pairs stand to
    each other, since another specimen or temperature moves them together; 0 where they are those usual for
    the chemistry, since each is then wrong by itself."""
    pair_relative_std: list[Annotated[Number, Field(gt=0, le=2)]]
    """Standard deviation of the error of the currents in the RC pairs as a part of the current (two pairs
    are not diffusion), one value per temperature breakpoint."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _rising("soc_breakpoints", self.soc_breakpoints)
        _rising("temperature_breakpoints_degc", self.temperature_breakpoints_degc)
        rows = len(self.temperature_breakpoints_degc)
        _shaped("slow_std_v", self.slow_std_v, rows, len(self.soc_breakpoints))
        _above("slow_std_v", self.slow_std_v, 0.0)
        for name in ("resistance_relative_std", "pair_relative_std"):
            count = len(getattr(self, name))
            if count != rows:
                raise ValueError(
                    f"{name} has {count} values, but there are {rows} temperature breakpoints: give one "
                    f"value for each"
                )
        return self


class EntropicTable(StrictModel):
    """Change of the open-circuit voltage with temperature, for the reversible heat."""

    soc_breakpoints: SocAxis
    docv_dt_v_per_k: Row

    @model_validator(mode="after")
    def _check(self) -> Self:
        _rising("soc_breakpoints", self.soc_breakpoints)
        _shaped("docv_dt_v_per_k", [self.docv_dt_v_per_k], 1, len(self.soc_breakpoints))
        return self


class ThermalProperties(StrictModel):
    """Heat storage of one cell, and its way out."""

    mass_kg: Positive
    heat_capacity_j_per_kg_k: Positive
    core_to_surface_k_per_w: Positive | None = None
    """Absent: such that the core follows the surface in 250 s."""
    surface_to_coolant_k_per_w: Positive | None = None
    """Absent: unknown, and nothing is taken to leave the cell while a limit lasts."""


class PulseTables(StrictModel):
    """What a pulse test says of currents as large as the limits: how far the circuit is off there.

    Two RC pairs and one saturation current per temperature follow ordinary loads; near the limits the
    overpotential is so many times what they say. Separate for both directions.
    """

    soc_breakpoints: SocAxis
    temperature_breakpoints_degc: TemperatureAxis
    discharge_ratio: Table
    """True over modelled overpotential in large discharge pulses of up to 30 s."""
    charge_ratio: Table
    discharge_tested_v: Table
    """Largest overpotential [V] at which that was seen to hold; beyond it a limit keeps more distance."""
    charge_tested_v: Table
    relative_std: list[Annotated[Number, Field(gt=0, le=1)]]
    """Standard deviation of what is left, relative, one value per temperature breakpoint."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _rising("soc_breakpoints", self.soc_breakpoints)
        _rising("temperature_breakpoints_degc", self.temperature_breakpoints_degc)
        shape = (len(self.temperature_breakpoints_degc), len(self.soc_breakpoints))
        for name in ("discharge_ratio", "charge_ratio", "discharge_tested_v", "charge_tested_v"):
            _shaped(name, getattr(self, name), *shape)
            _above(name, getattr(self, name), 0.0)
        if len(self.relative_std) != shape[0]:
            raise ValueError(
                f"relative_std has {len(self.relative_std)} values, but there are {shape[0]} "
                "temperature breakpoints: give one value for each"
            )
        return self


class DepletionTable(StrictModel):
    """How much earlier than the circuit says a discharge ends: in the cold the last charge stays behind.

    The state of charge at which the knee of the voltage lies moves up by so much.
    """

    temperature_breakpoints_degc: TemperatureAxis
    rates_c: Annotated[list[Positive], Field(min_length=1)]
    """Currents of the columns, in capacities per hour, rising."""
    shift_soc: Annotated[list[Annotated[list[Number], Field(min_length=1)]], Field(min_length=1)]
    """Part of the capacity, one row per temperature, one column per rate."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _rising("temperature_breakpoints_degc", self.temperature_breakpoints_degc)
        _rising("rates_c", self.rates_c)
        _shaped("shift_soc", self.shift_soc, len(self.temperature_breakpoints_degc), len(self.rates_c))
        return self


class PlatingMap(StrictModel):
    """Largest charge current at which the anode stays above the potential of lithium, over SoC and
    temperature.

    Below the coldest row it falls, and above the hottest it stays.
    """

    soc_breakpoints: SocAxis
    temperature_breakpoints_degc: TemperatureAxis
    held_a: Table
    """Current [A] of one cell that may flow for ever while the SoC rises to that of the column."""
    pulse_a: Table | None = None
    """Current [A] that may flow for 10 s from rest; absent: no more than ``held_a``."""
    memory_s: Positive = 60.0
    """Time in which a charge current that flowed before is forgotten [s]."""
    source: Annotated[str, Field(min_length=1)]
    """Where the values come from: three-electrode test, data sheet, model …"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _rising("soc_breakpoints", self.soc_breakpoints)
        _rising("temperature_breakpoints_degc", self.temperature_breakpoints_degc)
        shape = (len(self.temperature_breakpoints_degc), len(self.soc_breakpoints))
        _shaped("held_a", self.held_a, *shape)
        _above("held_a", self.held_a, 0.0, equal=True)
        if self.pulse_a is not None:
            _shaped("pulse_a", self.pulse_a, *shape)
            for i, (pulse, held) in enumerate(zip(self.pulse_a, self.held_a, strict=True)):
                for j, (p, h) in enumerate(zip(pulse, held, strict=True)):
                    if p < h:
                        raise ValueError(
                            f"pulse_a row {i} value {j} is {p}, below held_a ({h}): what may flow for ever "
                            "may flow for 10 s; are they swapped?"
                        )
        return self


class FitResidual(StrictModel):
    """Voltage residual of the fit in one record."""

    record: str
    temperature_degc: Number
    rms_v: NonNegative
    rms_above_20_percent_soc_v: NonNegative


class Provenance(StrictModel):
    """Where the numbers come from."""

    source: str
    citation: str
    licence: str
    method: str
    records: list[str] = []
    """Names of the records that were fitted."""
    residuals: list[FitResidual] = []


class CellFile(StrictModel):
    """One type of cell (``config/cells/<cell>.yaml``)."""

    schema_version: Literal[1]
    name: Annotated[str, Field(min_length=1)]
    chemistry: Literal["nmc", "nca", "lfp", "lco", "lmo", "lto"]
    capacity_ah: Positive
    """Charge between SoC 0 and 1 at 25 °C [Ah] of the cell as fitted (a *cell* is one parallel group's
    element)."""
    rated_capacity_ah: Positive
    """Capacity on the data sheet [Ah]; SoH = present capacity / this."""
    nominal_voltage_v: Positive
    voltage_min_v: Positive
    """Discharge cut-off of the data sheet [V]."""
    voltage_max_v: Positive
    """Charge limit of the data sheet [V]."""
    coulombic_efficiency: Annotated[Number, Field(gt=0.9, le=1)] = 1.0
    ocv: OcvTables
    impedance: ImpedanceTables
    model_error: ModelErrorTables
    entropic: EntropicTable | None = None
    thermal: ThermalProperties | None = None
    pulses: PulseTables | None = None
    """Absent: the circuit is taken as it is, with 5 % of doubt."""
    depletion: DepletionTable | None = None
    """Absent: a discharge ends where the circuit says."""
    plating: PlatingMap | None = None
    """Absent: the cautious map of the chemistry (:mod:`openbms_core.plating`)."""
    provenance: Provenance

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.voltage_min_v < self.nominal_voltage_v < self.voltage_max_v:
            raise ValueError(
                f"voltages must be in the order voltage_min_v < nominal_voltage_v < voltage_max_v, but are "
                f"{self.voltage_min_v}, {self.nominal_voltage_v}, {self.voltage_max_v}"
            )
        ratio = self.capacity_ah / self.rated_capacity_ah
        if not 0.5 <= ratio <= 1.5:
            raise ValueError(
                f"capacity_ah is {self.capacity_ah} and rated_capacity_ah {self.rated_capacity_ah}: "
                "a cell as fitted must have 50 to 150 % of its rating; are both in Ah?"
            )
        return self


def load_cell(path: str | Path) -> CellFile:
    """Load a cell file.

    Parameters
    ----------
    path : str or Path
        The YAML file.

    Returns
    -------
    CellFile

    Raises
    ------
    openbms_core.config_file.ConfigError
        With one line per problem: file, line, key, value and cure.
    """
    return load_config(path, CellFile)
