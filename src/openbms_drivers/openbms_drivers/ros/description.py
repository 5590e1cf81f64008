"""The pack's static facts as their message."""

from __future__ import annotations

from std_msgs.msg import Header

from openbms_core.pack import LoadedPack
from openbms_msgs.msg import PackDescription

__all__ = ["describe"]

_NO_SENSOR = 65535
_AUTHORITIES = {
    "openbms": PackDescription.CONTACTOR_AUTHORITY_OPENBMS,
    "device": PackDescription.CONTACTOR_AUTHORITY_DEVICE,
    "none": PackDescription.CONTACTOR_AUTHORITY_NONE,
}


def describe(pack: LoadedPack, header: Header) -> PackDescription:
    """Build the description that makes every recording explain itself.

    Parameters
    ----------
    pack : LoadedPack
        The pack.
    header : Header
        Stamp of loading and serial number.
    """
    file, cell = pack.file, pack.cell
    topology = file.topology
    cells = topology.cell_count
    modules = topology.modules
    if modules:
        cell_module = [number for number, module in enumerate(modules) for _ in range(module.cells)]
        serials = [module.serial for module in modules]
    else:
        cell_module = [index // topology.cells_in_series for index in range(cells)]
        serials = [""] * topology.strings
    nearest = [_NO_SENSOR] * cells
    for number, (_, location, covered) in enumerate(topology.sensors):
        if location == "cell":
            for index in covered:
                nearest[index] = number
    triples = file.limits.triples()
    rated_ah = cell.rated_capacity_ah * topology.cells_in_parallel
    nominal_v = cell.nominal_voltage_v * topology.cells_in_series
    return PackDescription(
        header=header,
        schema_version=file.schema_version,
        name=file.name,
        serial=file.serial,
        manufacturer=file.manufacturer,
        config_hash=pack.config_hash,
        cell_name=cell.name,
        chemistry=cell.chemistry,
        rated_capacity=rated_ah,
        rated_energy=rated_ah * nominal_v * topology.strings,
        nominal_voltage=nominal_v,
        usable_soc_min=file.usable_soc.min,
        usable_soc_max=file.usable_soc.max,
        string_count=topology.strings,
        cells_in_series=topology.cells_in_series,
        cells_in_parallel=topology.cells_in_parallel,
        cell_string=[index // topology.cells_in_series for index in range(cells)],
        cell_module=cell_module,
        module_serials=serials,
        temperature_sensor_names=topology.sensor_names,
        temperature_sensor_locations=[
            getattr(PackDescription, f"LOCATION_{location.upper()}") for _, location, _ in topology.sensors
        ],
        cell_temperature_sensor=nearest,
        actuator_names=list(topology.actuators),
        limit_names=list(triples),
        limit_operating=[triple.operating for triple in triples.values()],
        limit_recommended=[triple.recommended for triple in triples.values()],
        limit_safety=[triple.safety for triple in triples.values()],
        contactor_authority=_AUTHORITIES[file.contactors.authority],
        device=file.device.type,
        scan_period=file.measurement.scan_period_s,
        not_monitored=sorted(name for name, size in file.sizes().items() if size and not file.mapped(name)),
    )
