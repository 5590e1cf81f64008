"""Description and faults of several packs together, as their messages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from std_msgs.msg import Header

from openbms_control.aggregation.pack_view import SaidFault
from openbms_core.ros.convert import time_to_msg
from openbms_msgs.msg import Fault, FaultArray, PackDescription

__all__ = ["describe_aggregate", "faults_to_msg"]

_NO_SENSOR = 65535


def describe_aggregate(
    parts: Sequence[PackDescription], header: Header, *, name: str, series: bool
) -> PackDescription:
    """Describe the whole by its packs' own descriptions, in the order of every array.

    Parallel: every string of every pack is a string of the whole. Series: all are one string.
    """
    first = parts[0]
    strings = 1 if series else sum(part.string_count for part in parts)
    cell_string, cell_module, nearest = [], [], []
    strings_before = modules_before = sensors_before = 0
    for part in parts:
        cell_string += [0 if series else strings_before + own for own in part.cell_string]
        cell_module += [modules_before + own for own in part.cell_module]
        nearest += [
            _NO_SENSOR if own == _NO_SENSOR else sensors_before + own for own in part.cell_temperature_sensor
        ]
        strings_before += part.string_count
        modules_before += len(part.module_serials)
        sensors_before += len(part.temperature_sensor_names)
    limits = _strictest(parts)
    return PackDescription(
        header=header,
        schema_version=first.schema_version,
        name=name,
        serial=header.frame_id,
        manufacturer=first.manufacturer if len({part.manufacturer for part in parts}) == 1 else "",
        config_hash=hashlib.sha256("".join(part.config_hash for part in parts).encode()).hexdigest(),
        cell_name=first.cell_name if len({part.cell_name for part in parts}) == 1 else "",
        chemistry=first.chemistry,
        rated_capacity=min(p.rated_capacity * p.string_count for p in parts)
        if series
        else sum(p.rated_capacity * p.string_count for p in parts) / strings,
        rated_energy=sum(part.rated_energy for part in parts),
        nominal_voltage=sum(part.nominal_voltage for part in parts) if series else first.nominal_voltage,
        usable_soc_min=max(part.usable_soc_min for part in parts),
        usable_soc_max=min(part.usable_soc_max for part in parts),
        string_count=strings,
        cells_in_series=sum(part.cells_in_series for part in parts) if series else first.cells_in_series,
        cells_in_parallel=first.cells_in_parallel,
        cell_string=cell_string,
        cell_module=cell_module,
        module_serials=[serial for part in parts for serial in part.module_serials],
        temperature_sensor_names=[
            f"{part.serial}/{sensor}" for part in parts for sensor in part.temperature_sensor_names
        ],
        temperature_sensor_locations=[own for part in parts for own in part.temperature_sensor_locations],
        cell_temperature_sensor=nearest,
        actuator_names=[f"{part.serial}/{own}" for part in parts for own in part.actuator_names],
        limit_names=list(limits),
        limit_operating=[values[0] for values in limits.values()],
        limit_recommended=[values[1] for values in limits.values()],
        limit_safety=[values[2] for values in limits.values()],
        contactor_authority=first.contactor_authority,
        device="pack_aggregator",
        scan_period=max(part.scan_period for part in parts),
        not_monitored=sorted({own for part in parts for own in part.not_monitored}),
    )


def _strictest(parts: Sequence[PackDescription]) -> dict[str, list[float]]:
    """Give the limits that all packs have, each as the strictest pack has it."""
    tables = [
        dict(
            zip(
                part.limit_names,
                zip(part.limit_operating, part.limit_recommended, part.limit_safety, strict=True),
                strict=True,
            )
        )
        for part in parts
    ]
    found: dict[str, list[float]] = {}
    for name in tables[0]:
        rows = [table[name] for table in tables if name in table]
        if len(rows) == len(tables):
            strictest = max if "_min_" in name else min
            found[name] = [float(strictest(column)) for column in zip(*rows, strict=True)]
    return found


def faults_to_msg(faults: Sequence[SaidFault], unwatched: Sequence[str], header: Header) -> FaultArray:
    """Convert the faults of all packs, worst first."""
    message = FaultArray(header=header, not_monitored=list(unwatched))
    message.highest_level = max((fault.level for fault in faults if fault.state > 0), default=-1)
    message.faults = [
        Fault(
            id=fault.id, level=fault.level, state=fault.state, first_active=time_to_msg(fault.first_active_s),
            last_seen=time_to_msg(fault.last_seen_s), occurrences=fault.occurrences, value=fault.value,
            limit=fault.limit, unit=fault.unit, index=fault.index, from_record=fault.from_record,
            explanation=fault.explanation,
        )
        for fault in faults
    ]  # fmt: skip
    return message
