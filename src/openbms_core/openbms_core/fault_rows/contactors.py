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

_FEEDBACK = ("contactor_positive", "contactor_negative", "contactor_precharge")
_TOUCH = "Do not touch the terminals: they may be live."

CONTACTORS_ROWS: list[FaultRow] = [
    single("CONTACTOR_FAILED_TO_CLOSE", "contactor_failed_to_close", Timing(0.2, 0.1, 2.0),
            "A contactor that is commanded closed has not closed.", OPENS_LATCHED,
            "Check coil, coil supply and auxiliary contact.", latched=True, authorities=MOVES,
            needs=(_FEEDBACK,)),
    single("CONTACTOR_FEEDBACK_MISMATCH", "contactor_dropped", Timing(0.2, 0.1, 2.0),
            "A contactor that was closed reports open without having been told so.", OPENS_LATCHED,
            "Check coil, coil supply and auxiliary contact: it may have dropped out under load.",
            latched=True, authorities=MOVES, needs=(_FEEDBACK,)),
    single("CONTACTOR_WELDED", "contactor_not_open", Timing(0.2, 0.1, 2.0),
            "A contactor that is commanded open is closed: by its feedback, or since the link stays up after "
            "it opened, or comes up before it closes.", OPENS_LATCHED,
            f"{_TOUCH} Replace the contactor.", latched=True,
            authorities=MOVES, needs=((*_FEEDBACK, "link_voltage_v"),), by_name=True),
    single("LINK_LIVE", "link_live", Timing(1.0, 0.0, 5.0),
            "All contactors are commanded open, but the link is under voltage after its discharge time.",
            OPENS_LATCHED,
            f"{_TOUCH} Look for two welded contactors, a source on the link, a broken discharge.",
            comparison="above", limit="link_safe_voltage_v", unit="V", latched=True, authorities=MOVES,
            needs=(("link_voltage_v",),), by_name=True),
    single("CURRENT_ON_OPEN_STRING", "current_on_open_string", CURRENT,
            "Current flows in a string whose contactors are open.", OPENS_LATCHED,
            "Do not touch the terminals. Check for welded contactors and the offset of the current sensor.",
            comparison="above", unit="A", latched=True, needs=(NEEDS_CURRENT,), authorities=MOVES),
    single("OPENED_UNDER_LOAD", "opened_under_load", AT_ONCE,
            "Contactors opened while more than the break current flowed.",
            "Closing is refused: contacts may be welded or burnt.",
            "Find out why the current did not end in time; have the contactors checked.",
            level=Level.RECOMMENDED, action=Action.BLOCK_CLOSING, unit="A", latched=True, by_clock=True,
            authorities=MOVES, by_name=True, clears_when="the contactors are open"),
    single("STRING_ISOLATED", "string_isolated", AT_ONCE,
            "A string was taken out, since one of its own contactors failed; the other strings carry on.",
            "Limits are those of the strings that are closed; the string stays out until this is cleared.",
            "Check coil, coil supply and auxiliary contact of that string's contactors.",
            level=Level.RECOMMENDED, action=Action.NONE, latched=True, by_clock=True, authorities=MOVES,
            by_name=True, clears_when="the contactors are open"),
    single("PRECHARGE_ABORTED_VOLTAGE", "precharge_aborted_voltage", AT_ONCE,
            "An attempt to precharge was given up: the link did not reach the string's voltage.",
            "Warning, until the next closing: the attempts that are left follow.",
            "Look for a load on the link during precharge, a broken resistor or a short.",
            level=Level.RECOMMENDED, action=Action.NONE, unit="V", by_clock=True, authorities=MOVES,
            needs=(("link_voltage_v",),)),
    single("PRECHARGE_ABORTED_CURRENT", "precharge_aborted_current", AT_ONCE,
            "An attempt to precharge was given up: the voltages came together, but current went on flowing.",
            "Warning, until the next closing: the attempts that are left follow.",
            "Look for a load that is on during precharge, and for the offset of the current sensor.",
            level=Level.RECOMMENDED, action=Action.NONE, unit="A", by_clock=True, authorities=MOVES,
            needs=(("link_voltage_v",), NEEDS_CURRENT)),
    single("PRECHARGE_TIMEOUT", "precharge_failed", AT_ONCE,
            "The link could not be precharged in any attempt, or the device did not close in its time.",
            "The attempt is given up; closing is locked out until the resistor has cooled and the fault "
            "is cleared.",
            "Look for a load on the link during precharge, a broken resistor or a short.",
            latched=True, by_clock=True, authorities=MOVES, clears_when="the precharge resistor has cooled"),
    single("DEEP_DISCHARGE", "cell_voltage_minimum", Timing(2.0, 0.0, 10.0),
            "A cell is deeply discharged: copper may have dissolved, and charging it may cause a short.",
            "All limits are zero, the contactors open; neither closing nor charging until service has "
            "cleared it.",
            "Have the pack checked. Service brings the cell up at a small current, watches it at rest, and "
            "clears this fault by name.",
            comparison="below", limit="deep_discharge_voltage_v", unit="V", latched=True,
            needs=(("cell_voltage_v", "reported_cell_voltage_minimum_v"),), by_name=True,
            clears_when="the lowest cell is above `limits.cell_voltage_min_v.safety`"),
    single("PLUGGED_IN_WHILE_DRIVING", "plugged_in_drive", Timing(1.0, 0.0, 10.0),
            "The charging plug is reported in while the state is DRIVE.",
            "Opens as by request once the current is below the break current; while current flows it only "
            "warns.",
            "Request CHARGE, or check the plug's contact.", level=Level.RECOMMENDED, action=Action.NONE,
            needs=(("charging_plug",),)),
]  # fmt: skip
