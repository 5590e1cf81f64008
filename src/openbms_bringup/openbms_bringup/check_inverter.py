"""Check the profile of an inverter, without a bus."""

from __future__ import annotations

from pathlib import Path

__all__ = ["describe_profile", "is_profile"]

_OF_A_PROFILE = {"frames", "charge_voltage", "situations"}


def is_profile(keys: set[str]) -> bool:
    """Tell by its keys whether a file is a profile of inverter_gateway."""
    return bool(keys & _OF_A_PROFILE)


def describe_profile(path: Path) -> str:
    """Give a line that says what the file is, and what is worth a look.

    Raises
    ------
    ConfigError
        What is wrong, with file, line, key and cure.
    """
    from openbms_drivers.devices.inverter_lv.profile import load_profile

    profile = load_profile(path)
    rule = profile.charge_voltage
    frames = ", ".join(f"0x{frame.id:03X}" for frame in profile.frames)
    lines = [
        f"{path}: a good inverter profile: {profile.name}, every {profile.period_s:g} s {frames}; "
        f"batteries that charge to {rule.minimum_v:g} to {rule.maximum_v:g} V"
    ]
    told = {field.value for frame in profile.frames for field in frame.numbers}
    missing = [name for name in ("soc", "battery_voltage_v", "battery_current_a") if name not in told]
    if missing:
        lines.append(f"  look: no frame tells {', '.join(missing)}")
    if not any(frame.bits or frame.pairs for frame in profile.frames):
        lines.append(
            "  look: no frame has alarms; what the battery's faults are is told by zero limits alone"
        )
    return "\n".join(lines)
