"""What must be true, beside its condition being gone, before a latched fault may be cleared."""

from __future__ import annotations

from openbms_control.safety.contactors import ContactorSequencer
from openbms_control.safety.readings import cell_extreme
from openbms_core.pack import PackFile
from openbms_core.types import PackMeasurement, State

__all__ = ["unmet_conditions"]

_OPEN = (State.INIT, State.STANDBY, State.FAULT)


def unmet_conditions(
    state: State, contactors: ContactorSequencer, pack: PackFile, scan: PackMeasurement | None
) -> dict[str, str]:
    """Give the rows that cannot be cleared now, and why; the rules are those of ``FaultRow.clears_when``.

    Parameters
    ----------
    state : State
    contactors : ContactorSequencer
    pack : PackFile
    scan : PackMeasurement or None
        The last fresh scan.
    """
    unmet: dict[str, str] = {}
    if state not in _OPEN:
        for name in ("OPENED_UNDER_LOAD", "STRING_ISOLATED"):
            unmet[name] = f"the contactors must be open, but the state is {state.name}"
    wait_s = max(contactors.heat.wait_s(string) for string in range(contactors.strings))
    if wait_s > 0.0:
        unmet["PRECHARGE_TIMEOUT"] = f"the precharge resistor must cool for another {wait_s:.0f} s"
    recovered_v = pack.limits.cell_voltage_min_v.safety
    lowest_v = cell_extreme(scan, -1.0)[0] if scan is not None else float("nan")
    if not lowest_v >= recovered_v:
        unmet["DEEP_DISCHARGE"] = f"the lowest cell must be at {recovered_v:g} V or above; " + (
            "its voltage is not known" if lowest_v != lowest_v else f"it is at {lowest_v:.3f} V"
        )
    return unmet
