"""Write the reference pages of the fault table: ``python -m openbms_control.reference [folder]``."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

from openbms_control.reference_states import states_page
from openbms_control.safety.limits import HORIZON_S, REASONS, RECOVERY_TIME_S
from openbms_core.chemistry import DEEP_DISCHARGE, INSIDE_K, INSIDE_LOW_V, INSIDE_V, USUAL_LIMITS
from openbms_core.faults import FAULT_TABLE, SOFTWARE_ALLOWANCE_S, Action, FaultRow
from openbms_core.foxbms_entries import FOXBMS_ENTRIES, FOXBMS_VERSION
from openbms_core.pack import Contactors, Limits
from openbms_core.protection import Protection

__all__ = ["faults_page", "foxbms_page", "limits_page", "main", "protection_page", "states_page"]

NOMINAL_SCAN_S, NOMINAL_DEADLINE_S, NOMINAL_OPENING_S = 0.1, 0.3, 0.1

_ACTIONS = {
    Action.OPEN: "opens the contactors",
    Action.OPEN_AT_ONCE: "without waiting for zero current",
    Action.BLOCK_CLOSING: "blocks closing",
    Action.END_CHARGING: "ends charging",
    Action.NO_BALANCING: "no balancing",
    Action.NO_HEATING: "no heating",
    Action.COOL: "cooling at least at its safe values",
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
open in {NOMINAL_OPENING_S:g} s; rows that judge a course have the time that their watch needs in it.
Rows for missing data add the maximum age of what is missing
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
        section = "contactors" if row.limit in Contactors.model_fields else "protection"
        return f"{row.comparison} `{section}.{row.limit}`"
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
    asked = scans + row.detection_s + row.timing.debounce_s + SOFTWARE_ALLOWANCE_S
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


_PROTECTION_INTRODUCTION = """\
# Thresholds and what is usual

The section `protection` of the pack file: thresholds of the [fault table](faults.md) beside the limit
triples. A key that is `null`, or that is absent and has no default, switches its rows off: they are listed
as *not monitored*. `openbms check` says which thresholds of a pack are defaults.

| Key | Default | Meaning |
|---|---|---|"""

_USUAL_INTRODUCTION = f"""
## Usual limits of a chemistry

Never used in silence: a pack file without a triple is refused, and the refusal offers the one below. The
limit of the sheet is the recommended one (of the lower voltage: the safety one); operating and safety limits
lie {INSIDE_V:g} V ({INSIDE_LOW_V:g} V at the lower end) or {INSIDE_K:g} K beside it. Only what has a source
is listed.

| Chemistry | Limit | Operating | Recommended | Safety | Source |
|---|---|---|---|---|---|"""

_FOXBMS_INTRODUCTION = f"""\
# foxBMS 2 entries and rows here

The {len(FOXBMS_ENTRIES)} diagnosis entries of foxBMS 2 {FOXBMS_VERSION}
(`diag_cfg.c`, names without `DIAG_ID_`), and which rows of the
[fault table](faults.md) see the same; or why none applies to a pack behind CAN.

| foxBMS 2 | Here |
|---|---|"""


def _documented(model: type) -> dict[str, str]:
    """Give the docstring under each field of a model, its bases' first."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__[:-1]):
        if kind.__module__.partition(".")[0] != "openbms_core":
            continue
        (body,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                words = text.value if isinstance(text, ast.Expr) else None
                said = words.value if isinstance(words, ast.Constant) else ""
                found[field.target.id] = " ".join(str(said).split())
    return found


def protection_page() -> str:
    """Give the page of thresholds and of what is usual for a chemistry (Markdown)."""
    meanings = _documented(Protection)
    lines = [_GENERATED, _PROTECTION_INTRODUCTION]
    for key, field in Protection.model_fields.items():
        default = "–" if field.default is None else f"{field.default:g}"
        lines.append(f"| `{key}` | {default} | {meanings.get(key, '')} |")
    lines += ["", "| Chemistry | `deep_discharge_voltage_v` | Source |", "|---|---|---|"]
    lines += [f"| {name.upper()} | {deep.value:g} | {deep.source} |" for name, deep in DEEP_DISCHARGE.items()]
    lines.append(_USUAL_INTRODUCTION)
    for name, triples in USUAL_LIMITS.items():
        for limit, triple in triples.items():
            values = " | ".join(f"{v:g}" for v in (triple.operating, triple.recommended, triple.safety))
            lines.append(f"| {name.upper()} | `{limit}` | {values} | {triple.source} |")
    return "\n".join(lines) + "\n"


def foxbms_page() -> str:
    """Give the page of foxBMS 2's entries and the rows that see the same (Markdown)."""
    lines = [_GENERATED, _FOXBMS_INTRODUCTION]
    for entry, rows in FOXBMS_ENTRIES.items():
        here = (
            rows if isinstance(rows, str) else ", ".join(f"[{row}](faults.md#{row.lower()})" for row in rows)
        )
        lines.append(f"| `{entry}` | {here} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages into the folder given (default ``docs/reference``)."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in (
        ("faults.md", faults_page()),
        ("limits.md", limits_page()),
        ("protection.md", protection_page()),
        ("foxbms.md", foxbms_page()),
        ("states.md", states_page()),
    ):
        (folder / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
