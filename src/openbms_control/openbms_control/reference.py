"""Write the reference pages of faults and limits: ``python -m openbms_control.reference [folder]``."""

from __future__ import annotations

import sys
from pathlib import Path

from openbms_control.safety.limits import HORIZON_S, REASONS, RECOVERY_TIME_S
from openbms_core.faults import FAULT_TABLE, SOFTWARE_ALLOWANCE_S, Action, FaultRow
from openbms_core.pack import Limits

__all__ = ["faults_page", "limits_page", "main"]

NOMINAL_SCAN_S, NOMINAL_DEADLINE_S, NOMINAL_OPENING_S = 0.1, 0.3, 0.1

_ACTIONS = {
    Action.OPEN: "opens the contactors",
    Action.OPEN_AT_ONCE: "without waiting for zero current",
    Action.BLOCK_CLOSING: "blocks closing",
    Action.END_CHARGING: "ends charging",
    Action.NO_BALANCING: "no balancing",
    Action.NO_HEATING: "no heating",
}
_GENERATED = "<!-- Written by `python -m openbms_control.reference`; edit the code, not this page. -->"

_FAULTS_INTRODUCTION = f"""\
# Faults

Every row of the fault table (`openbms_core/fault_rows/`). A row's condition must hold for its
*debounce* (an up and down integrator over the time between scans), then it has tripped: limits follow,
and a row that opens the contactors asks for zero current. After its *delay* it is active. Operating
rows inform, recommended rows warn and take a direction, safety rows open. What a pack does not measure
is listed as *not monitored*, never as fine.

`faults.<name>` in the pack file overrides debounce, delay and fault-tolerant time. A pack whose scan,
debounce, software, delay and contactors together exceed a fault-tolerant time is refused when it is
loaded.

*Reaction* is the worst case from onset to the request for zero current / to the completed action, at a
scan of {NOMINAL_SCAN_S:g} s, a fault opening deadline of {NOMINAL_DEADLINE_S:g} s and contactors that
open in {NOMINAL_OPENING_S:g} s. Rows for missing data add the maximum age of what is missing
(DRIVER_LOST 0.5 s or three scans, BUS_LOST `device.silent_after_s`, ESTIMATOR_LOST the expiry of the
power limits, MONITOR_LATE `contactors.command_valid_for_s`).

| Fault | Judges | Debounce + delay [s] | Tolerant [s] | Reaction [s] | Latched | Action | Clears | Needs |
|---|---|---|---|---|---|---|---|---|"""

_LIMITS_INTRODUCTION = f"""\
# Limits

The topic `limits` is the one to obey: the smallest of the estimator's fresh `power_limits`, the raw
voltage and temperature table, what faults leave, and the operating currents of the pack file times the
strings that are closed. All values are magnitudes at the pack's terminals; after expiry, without a
newer message, they are zero.

- Of `power_limits` the {HORIZON_S:g} s horizon is used: limits are renewed ten times a second, so it
  can be held while it is followed down; the 2 s limit would fall faster than a drive can follow, the
  continuous one forbids every peak.
- The raw table is a trapezoid per direction: full at the operating limit, zero at the recommended
  limit, linear between, for the highest (charge) or lowest (discharge) cell voltage and the hottest and
  coldest cell.
- A derating acts at once; recovery from zero to the full rating takes {RECOVERY_TIME_S:g} s.
- Without fresh power limits the limp-home values of the pack file hold (and still the table), then the
  pack is shut down at zero current after `limits.limp_home.shutdown_after_s`.
- What is unknown gives zero.

## Reason codes

`charge_reason` and `discharge_reason`; behind a colon stands the detail (state, fault, the estimator's
reason).

| Code | Meaning |
|---|---|"""


def _limit(row: FaultRow) -> str:
    if row.comparison == "is":
        return "yes or no"
    if row.limit in Limits.model_fields:
        return f"{row.comparison} `limits.{row.limit}.{row.level.name.lower()}`"
    if isinstance(row.limit, str):
        return f"{row.comparison} `protection.{row.limit}`"
    return (
        f"{row.comparison} {row.limit:g} {row.unit}"
        if row.limit == row.limit
        else f"{row.comparison} its limit"
    )


def _action(row: FaultRow) -> str:
    parts = [text for action, text in _ACTIONS.items() if action in row.action]
    if not row.opens:
        for factor, name in ((row.charge_factor, "charge"), (row.discharge_factor, "discharge")):
            if factor < 1.0:
                parts.append(f"{name} limit {'zero' if factor == 0.0 else f'× {factor:g}'}")
    return ", ".join(parts) or "says so"


def _needs(row: FaultRow) -> str:
    return " and ".join(" or ".join(f"`{name}`" for name in options) for options in row.needs) or "–"


def _reaction(row: FaultRow) -> str:
    """Worst case at nominal times, without the staleness that missing-data rows add."""
    scans = 0.0 if row.by_clock else NOMINAL_SCAN_S * (2 if row.timing.debounce_s else 1)
    asked = scans + row.timing.debounce_s + SOFTWARE_ALLOWANCE_S
    waits = 0.0 if Action.OPEN_AT_ONCE in row.action else NOMINAL_DEADLINE_S
    done = asked + row.timing.delay_s + (waits + NOMINAL_OPENING_S if row.opens else 0.0)
    return f"{asked:.2f} / {done:.2f}"


def faults_page() -> str:
    """Give the page of the fault table (Markdown)."""
    lines = [_GENERATED, _FAULTS_INTRODUCTION]
    for row in FAULT_TABLE:
        timing = row.timing
        cells = (
            f"`{row.id}`",
            _limit(row),
            f"{timing.debounce_s:g} + {timing.delay_s:g}",
            f"{timing.fault_tolerant_time_s:g}",
            _reaction(row),
            "yes" if row.latched else "no",
            _action(row),
            row.clear_condition,
            _needs(row),
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## What each means, what the system does, what to do", ""]
    for row in FAULT_TABLE:
        lines += [f"### {row.id}", "", row.means, "", f"*System:* {row.does}", "", f"*You:* {row.cure}", ""]
    return "\n".join(lines).rstrip() + "\n"


def limits_page() -> str:
    """Give the page of the reason codes of limits (Markdown)."""
    lines = [
        _GENERATED,
        _LIMITS_INTRODUCTION,
        *(f"| `{code}` | {meaning[:1].upper()}{meaning[1:]}. |" for code, meaning in REASONS.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both pages into the folder given (default ``docs/reference``)."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in (("faults.md", faults_page()), ("limits.md", limits_page())):
        (folder / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
