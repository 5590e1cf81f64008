"""Rows of contactors and precharge."""

from __future__ import annotations

from openbms_core.fault_rows.row import (
    AT_ONCE,
    CURRENT,
    MOVES,
    NEEDS_CURRENT,
    OPENS_LATCHED,
    Action,
    FaultRow,
    Timing,
    single,
)
from openbms_core.types import Level

__all__ = ["CONTACTORS_ROWS"]

CONTACTORS_ROWS: list[FaultRow] = [
    single("CONTACTOR_FEEDBACK_MISMATCH", "contactor_not_closed", Timing(0.2, 0.1, 2.0),
            "A contactor that is commanded closed reports open.", OPENS_LATCHED,
            "Check coil, coil supply and auxiliary contact.", latched=True, authorities=MOVES,
            needs=(("contactor_positive", "contactor_negative", "contactor_precharge"),)),
    single("CONTACTOR_WELDED", "contactor_not_open", Timing(0.2, 0.1, 2.0),
            "A contactor that is commanded open reports closed.", OPENS_LATCHED,
            "Do not touch the terminals: they may be live. Replace the contactor.", latched=True,
            authorities=MOVES,
            needs=(("contactor_positive", "contactor_negative", "contactor_precharge"),)),
    single("CURRENT_ON_OPEN_STRING", "current_on_open_string", CURRENT,
            "Current flows in a string whose contactors are open.", OPENS_LATCHED,
            "Do not touch the terminals. Check for welded contactors and the offset of the current sensor.",
            comparison="above", unit="A", latched=True, needs=(NEEDS_CURRENT,), authorities=MOVES),
    single("PRECHARGE_TIMEOUT", "precharge_failed", AT_ONCE,
            "The link did not reach the string's voltage in any attempt.",
            "The attempt is given up; closing is locked out until the resistor has cooled and the fault "
            "is cleared.",
            "Look for a load on the link during precharge, a broken resistor or a short.",
            latched=True, by_clock=True, authorities=MOVES),
    single("PLUGGED_IN_WHILE_DRIVING", "plugged_in_drive", Timing(1.0, 0.0, 10.0),
            "The charging plug is reported in while the state is DRIVE.",
            "Opens as by request once the current is below the break current; while current flows it only "
            "warns.",
            "Request CHARGE, or check the plug's contact.", level=Level.RECOMMENDED, action=Action.NONE,
            needs=(("charging_plug",),)),
]  # fmt: skip
