"""Check the files of gateways: what a vehicle or actuators are, as the node that will use it does."""

from __future__ import annotations

from pathlib import Path

__all__ = ["describe_gateway", "is_gateway"]

_OF_A_PACK = {"topology", "contactors", "cell", "limits", "measurement", "serial"}
_OF_ACTUATORS = {"actuators", "charger"}


def is_gateway(keys: set[str]) -> bool:
    """Tell by its keys whether a file is one of a gateway: a device, and nothing of a pack."""
    return "device" in keys and not keys & _OF_A_PACK


def describe_gateway(path: Path, keys: set[str]) -> str:
    """Give a line that says what the file is, and what is worth a look.

    Raises
    ------
    ConfigError
        What is wrong, with file, line and cure.
    """
    # imported here: cantools takes a while, and a cell or system file does not need it
    from openbms_drivers.actuators.actuator_file import load_actuators
    from openbms_drivers.gateway.peer import Peer
    from openbms_drivers.vehicle.vehicle_file import load_vehicle

    reference = str(path.absolute())
    if keys & _OF_ACTUATORS:
        gateway, kind = load_actuators(reference), "actuators"
    else:
        gateway, kind = load_vehicle(reference), "a vehicle"
    peer = Peer(gateway, "check", lambda now_s: {})
    device = gateway.file.device
    taken = dict.fromkeys(entry.to for entry in device.signals)
    sent = ", ".join(f"{entry.message} every {1000.0 * entry.period_s:g} ms" for entry in device.commands)
    return "\n".join(
        [
            f"{path}: a good gateway file of {kind}: it takes {', '.join(taken) or 'nothing'}",
            f"  sends {sent or 'nothing'}",
            *(f"  look: {warning}" for warning in peer.decoder.warnings),
        ]
    )
