"""The rows of the fault table, one module a subject; :mod:`openbms_core.faults` resolves them for a pack."""

from openbms_core.fault_rows.actuators import ACTUATORS_ROWS
from openbms_core.fault_rows.contactors import CONTACTORS_ROWS
from openbms_core.fault_rows.inputs import INPUTS_ROWS
from openbms_core.fault_rows.limits import LIMIT_ROWS
from openbms_core.fault_rows.missing import MISSING_ROWS
from openbms_core.fault_rows.plausibility import PLAUSIBILITY_ROWS
from openbms_core.fault_rows.row import Action, Authority, FaultRow, Timing
from openbms_core.fault_rows.runaway import RUNAWAY_ROWS
from openbms_core.fault_rows.system import SYSTEM_ROWS

__all__ = ["FAULT_TABLE", "Action", "Authority", "FaultRow", "Timing"]

FAULT_TABLE: tuple[FaultRow, ...] = (
    *LIMIT_ROWS,
    *MISSING_ROWS,
    *PLAUSIBILITY_ROWS,
    *CONTACTORS_ROWS,
    *INPUTS_ROWS,
    *ACTUATORS_ROWS,
    *RUNAWAY_ROWS,
    *SYSTEM_ROWS,
)
"""Every row, with its default timing."""
