"""Fault injections as data: what is broken in the twin, from when, for how long.

Each injection is one mapping with the key ``fault``; a list of them is all that is broken. For example::

    - {fault: cell_voltage_offset, cell: 17, offset_v: 0.03}
    - {fault: contactor_welded, contactor: positive, start_s: 5}
    - {fault: drop_message, message: "Cmu3_*", duration_s: 2}

``start_s`` counts in wall time from the moment the list is set, ``duration_s`` from there.
"""

from openbms_sim.faults.base import Injection, InjectionError
from openbms_sim.faults.injections import FAULTS, Injections, check_source, parse_injections, validated

__all__ = [
    "FAULTS",
    "Injection",
    "InjectionError",
    "Injections",
    "check_source",
    "parse_injections",
    "validated",
]
