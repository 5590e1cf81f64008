"""What is kept of a case in the result: enough to count and to play it again, not its whole course."""

from __future__ import annotations

import math
from typing import Any

from openbms_core.faults import FAULT_BY_ID

__all__ = ["brief", "key_demand", "share_used"]

Row = dict[str, Any]


def share_used(demand: Row) -> float:
    """Give what share of its time a demand has used."""
    reaction = demand["reaction_s"]
    return math.inf if reaction is None else float(reaction / demand["deadline_s"])


def key_demand(row: Row) -> Row | None:
    """Give the demand by which a case is timed: of a row that opens, if any, that nearest to its deadline."""
    demands = row.get("demands", [])
    opening = [
        demand
        for demand in demands
        if any(name not in FAULT_BY_ID or FAULT_BY_ID[name].opens for name in demand["rows"])
    ]
    return max(opening or demands, key=share_used, default=None)


def brief(row: Row) -> Row:
    """Leave out what raised when, and all demands but the telling one, of a case that went as it should."""
    if row["outcome"] not in ("in time", "quiet") or row.get("unforeseen"):
        return row
    key = key_demand(row)
    short = {name: value for name, value in row.items() if name not in ("raised", "demands")}
    return {**short, "demands": [key]} if key is not None else short
