"""What an inverter is told of a battery, from the message that describes it."""

from __future__ import annotations

import numpy as np

from openbms_drivers.devices.inverter_lv.battery import BatteryFacts
from openbms_msgs.msg import PackDescription

__all__ = ["facts_from_msg"]


def facts_from_msg(message: PackDescription) -> BatteryFacts:
    """Take from the pack's description what an inverter is told.

    Raises
    ------
    ValueError
        It holds no limits of cells or currents.
    """
    limits = {
        name: (operating, recommended)
        for name, operating, recommended in zip(
            message.limit_names, message.limit_operating, message.limit_recommended, strict=True
        )
    }
    strings = int(message.string_count)
    try:
        return BatteryFacts(
            serial=message.serial,
            name=message.name,
            manufacturer=message.manufacturer,
            strings=strings,
            cells_in_series=int(message.cells_in_series),
            rated_capacity_ah=float(message.rated_capacity) * strings,
            cell_maximum_v=limits["cell_voltage_max_v"],
            cell_minimum_v=limits["cell_voltage_min_v"],
            charge_current_max_a=limits["charge_current_max_a"][0] * strings,
            discharge_current_max_a=limits["discharge_current_max_a"][0] * strings,
            at_cell=np.array(message.temperature_sensor_locations, np.uint8) == PackDescription.LOCATION_CELL,
            scan_period_s=float(message.scan_period),
        )
    except KeyError as error:
        raise ValueError(f"pack_description has no limit {error}") from None
