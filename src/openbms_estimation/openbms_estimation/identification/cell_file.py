"""Write a cell file from a fit: tables, model error, what pulses and discharges say, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import yaml
from numpy.typing import NDArray

from openbms_core.cell import CellFile
from openbms_estimation.identification.commission import Commissioned, Kind, PlacedTest
from openbms_estimation.identification.design import ACTIVATION_ENERGY_J_PER_MOL, warmth
from openbms_estimation.identification.placing import charge_moved_ah
from openbms_estimation.identification.solve import CellFit
from openbms_estimation.sop.from_tests import SectionTest, full_discharge, with_test_sections

__all__ = ["cell_file", "residual_rows", "to_yaml"]

FloatArray = NDArray[np.float64]
LEAST_OHM = 1e-5
USUAL_HEAT_CAPACITY_J_PER_KG_K = 900.0
"""Of lithium-ion cells, 800 to 1100: T. M. Bandhauer, S. Garimella, T. F. Fuller, J. Electrochem. Soc. 158
(2011) R1."""


def _ocv(fit: CellFit, width_soc: float) -> dict[str, Any]:
    axis = np.asarray(fit.knots.ocv_soc)
    least_rise = 2e-5 * np.arange(len(axis))
    down, up = [], []
    for ocv, gap in zip(fit.ocv_v, fit.gap_v, strict=True):
        low = np.maximum.accumulate(ocv) + least_rise
        # from above: near empty, where no test charges on that branch, the gap is a guess
        high = ocv + np.maximum(np.interp(axis, fit.knots.gap_soc, gap), 0.0)
        high = np.minimum.accumulate(high[::-1])[::-1] + least_rise
        down.append([round(float(v), 5) for v in low])
        up.append([round(float(v), 5) for v in np.maximum(high, low)])
    return {
        "soc_breakpoints": [round(float(value), 4) for value in axis],
        "temperature_breakpoints_degc": list(fit.knots.temperature_degc),
        "discharge_v": down,
        "charge_v": up,
        "hysteresis_soc": width_soc,
    }


def _impedance(fit: CellFit) -> dict[str, Any]:
    nodes = np.asarray(fit.knots.temperature_degc)
    warm = warmth(nodes)[:, None]
    tau1, tau2, saturation = fit.nonlinear.at(nodes)

    def rows(table: FloatArray) -> list[list[float]]:
        return [[round(float(v), 7) for v in row] for row in table]

    count = len(fit.knots.resistance_soc)
    kinetic = np.maximum(warm * fit.rk_ohm, 0.0)
    # the pair of seconds belongs to the instantaneous part: no estimator steps faster than it settles
    instant = np.maximum(warm * (fit.r0_ohm + fit.rf_ohm), LEAST_OHM) + kinetic
    energy = round(ACTIVATION_ENERGY_J_PER_MOL, -2)
    return {
        "soc_breakpoints": [round(float(value), 4) for value in fit.knots.resistance_soc],
        "temperature_breakpoints_degc": list(fit.knots.temperature_degc),
        "r0_ohm": rows(instant),
        "kinetic_resistance_ohm": rows(np.minimum(kinetic, instant)),
        "kinetic_current_a": [round(float(value), 5) for value in saturation],
        "r1_ohm": rows(np.maximum(warm * fit.r1_ohm, LEAST_OHM)),
        "tau1_s": [[round(float(value), 3)] * count for value in tau1],
        "r2_ohm": rows(np.maximum(warm * fit.r2_ohm, LEAST_OHM)),
        "tau2_s": [[round(float(value), 3)] * count for value in tau2],
        "activation_energy_cold_j_per_mol": energy,
        "activation_energy_hot_j_per_mol": energy,
    }


def residual_rows(tests: Sequence[PlacedTest], fit: CellFit) -> list[dict[str, Any]]:
    """Residual of every test, for the provenance."""
    found = []
    for test in tests:
        errors, charges = [], []
        for record in test.records:
            voltage, _ = fit.simulate(record)
            errors.append((record.voltage_v - voltage)[record.judged])
            charges.append(record.soc[record.judged])
        error, soc = np.concatenate(errors), np.concatenate(charges)
        upper = error[soc > 0.2]
        found.append(
            {
                "record": test.test.path.name,
                "temperature_degc": round(test.temperature_degc, 1),
                "rms_v": round(float(np.sqrt(np.mean(error**2))), 4),
                "rms_above_20_percent_soc_v": round(
                    float(np.sqrt(np.mean(upper**2))) if len(upper) else 0.0, 4
                ),
            }
        )
    return found


def _section_tests(found: Commissioned) -> list[SectionTest]:
    """Tests that say something of large currents and of the end of a discharge, as far as they are whole."""
    kept = []
    for placed in (*found.tests, *found.discharges):
        test, capacity = placed.test, placed.placement.capacity_ah
        moved, holes, rows = charge_moved_ah(test, capacity)
        end = min([rows, *(int(hole) for hole in holes)])
        section = SectionTest(
            test.time_s[:end],
            test.voltage_v[:end],
            test.current_a[:end],
            test.temperature_degc[:end],
            placed.placement.soc_start + moved[:end] / capacity,
        )
        # the pulses of a drive do not begin at rest, and say nothing of large currents alone
        if placed.kind != "dynamic" or full_discharge(section, capacity) is not None:
            kept.append(section)
    return kept


def cell_file(
    found: Commissioned,
    error: Mapping[str, Any],
    *,
    name: str,
    chemistry: str,
    rated_ah: float,
    source: str,
    citation: str,
    licence: str,
    mass_kg: float | None = None,
) -> dict[str, Any]:
    """Give the content of a cell file.

    Parameters
    ----------
    found : Commissioned
    error : mapping
        From :func:`openbms_estimation.identification.error_model.model_error`.
    name, chemistry : str
    rated_ah : float
        Capacity on the data sheet [Ah].
    source, citation, licence : str
        Of the tests.
    mass_kg : float, optional
        Of the cell; with it the file says how the cell warms, and how the tests cooled it.

    Returns
    -------
    dict
    """
    usual, limits = found.chemistry, found.limits
    tests = (*found.tests, *found.discharges)
    kinds = ", ".join(f"{sum(test.kind == kind for test in tests)} {kind}" for kind in get_args(Kind))
    thermal = {"mass_kg": mass_kg, "heat_capacity_j_per_kg_k": USUAL_HEAT_CAPACITY_J_PER_KG_K}
    content = {
        "schema_version": 1,
        "name": name,
        "chemistry": chemistry,
        "capacity_ah": round(found.capacity_ah, 4),
        "rated_capacity_ah": rated_ah,
        "nominal_voltage_v": usual.nominal_voltage_v,
        "voltage_min_v": min(usual.voltage_min_v, round(limits.voltage_min_v, 2)),
        "voltage_max_v": round(limits.voltage_max_v, 2),
        "coulombic_efficiency": 1.0,
        "ocv": _ocv(found.fit, found.fit.nonlinear.hysteresis_soc),
        "impedance": _impedance(found.fit),
        "model_error": dict(error),
        **({} if mass_kg is None else {"thermal": thermal}),
        "provenance": {
            "source": source,
            "citation": citation,
            "licence": licence,
            "method": f"openbms fit: variable projection over charge and temperature on {kinds} tests; "
            f"capacity from {found.capacity_from}; model error from residuals and left-out tests"
            + ("" if found.has_dynamics else "; resistances are those usual for the chemistry"),
            "records": [test.test.path.name for test in tests],
            "residuals": residual_rows(tests, found.fit),
        },
    }
    whole = with_test_sections(CellFile.model_validate(content), _section_tests(found))
    return whole.model_dump(mode="json", exclude_none=True)


def to_yaml(content: Mapping[str, Any], heading: str) -> str:
    """Write a cell file: numbers of a row on one line, a comment on top."""

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def numbers(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
        flat = all(isinstance(value, int | float) for value in values)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)

    Dumper.add_representer(list, numbers)
    comment = "".join(f"# {line}\n" if line else "#\n" for line in heading.splitlines())
    return comment + yaml.dump(dict(content), Dumper=Dumper, sort_keys=False, width=118, allow_unicode=True)
