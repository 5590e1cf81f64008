"""The file of a vehicle: the DBC of its control unit and which signal is what."""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

from openbms_core.config_file import NonNegative, StrictModel
from openbms_drivers.gateway.gateway_file import GatewayFile, LoadedGateway, load_gateway
from openbms_drivers.vehicle.inputs import INPUT_QUANTITIES
from openbms_drivers.vehicle.outputs import OUTPUT_VALUES

__all__ = ["VehicleFile", "VehicleSettings", "load_vehicle", "lost_after_s"]


class VehicleSettings(StrictModel):
    """What belongs to a vehicle alone."""

    vehicle_lost_after_s: NonNegative = 1.0
    """What it asks for has been unknown for so long: STANDBY is asked for; 0: never."""


class VehicleFile(GatewayFile):
    """Model of the file."""

    settings: VehicleSettings = VehicleSettings()


def load_vehicle(reference: str, beside: Path | None = None) -> LoadedGateway:
    """Load the file of a vehicle; its ``file`` is a :class:`VehicleFile`.

    Raises
    ------
    ConfigError
        The file is absent or wrong.
    """
    return load_gateway(reference, INPUT_QUANTITIES, OUTPUT_VALUES, beside, VehicleFile)


def lost_after_s(gateway: LoadedGateway) -> float:
    """Give the time without a known request after which the vehicle counts as lost [s]; infinite: never."""
    return cast(VehicleFile, gateway.file).settings.vehicle_lost_after_s or math.inf
