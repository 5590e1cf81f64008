"""Check the file of a site: its inverter and meters, without connecting to them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["describe_site", "is_site"]

_OF_A_SITE = {"inverter", "meters", "connection"}


def is_site(keys: set[str]) -> bool:
    """Tell by its keys whether a file is one of a site."""
    return bool(keys & _OF_A_SITE)


def describe_site(path: Path) -> str:
    """Give a line that says what the file is, and what is worth a look.

    Raises
    ------
    ConfigError
        What is wrong, with file, line, key and cure.
    """
    from openbms_drivers.devices.sunspec.site_file import load_site

    site, _ = load_site(str(path.absolute()))
    inverter = site.inverter
    lines = [f"{path}: a good site file: {site.name}"]
    if inverter is None:
        lines.append("no inverter: power_setpoint goes nowhere")
    else:
        at = f"{inverter.host}:{inverter.port} unit {inverter.unit}"
        does = "read only" if inverter.control == "none" else f"controlled ({inverter.control})"
        lines.append(f"inverter {at}, {does}, falls back after {inverter.revert_after_s:g} s")
    lines += [f"meter {meter.role}: {meter.host}:{meter.port} unit {meter.unit}" for meter in site.meters]
    if all(meter.role != "grid" for meter in site.meters):
        lines.append("no meter with role: grid: site_meter says nothing of the connection")
    return "\n".join(lines)
