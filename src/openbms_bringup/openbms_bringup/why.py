"""Why is it open, why may it not charge: what the safety monitor says, put into words.

Takes the messages of the topics ``state``, ``faults`` and ``limits`` (anything with their fields) and gives
plain data; :func:`text` writes it for people. Nothing is asked of the system but to listen.
"""

from __future__ import annotations

import math
import textwrap
import time
from enum import IntEnum
from typing import Any

from openbms_control.aggregation.limits import REASONS as AGGREGATE_REASONS
from openbms_control.safety.limits import REASONS
from openbms_core.faults import FAULT_BY_ID
from openbms_core.types import FaultState, Level, State

__all__ = ["explain", "meaning", "text"]

_WIDTH = 100
_CLOSED = (State.DRIVE, State.CHARGE, State.CONNECTED)
_OTHER_CODES = {
    "measurement_incomplete": "Not everything that is needed is measured, or there is no fresh scan.",
}
_NOBODY_ASKED = "not_requested"
_NOBODY_ASKED_TEXT = "Nothing forbids closing, nobody has asked: `openbms request drive` (charge, connected)."


def meaning(code: str) -> str:
    """Give what a code means, in words; empty for one that is not known here.

    Parameters
    ----------
    code : str
        Identifier of a fault, reason of a limit (also ``fault:ID``, ``state:DRIVE``), or another inhibit.
    """
    head, _, detail = code.partition(":")
    row = FAULT_BY_ID.get(detail if head == "fault" else code)
    if row is not None:
        return row.means
    if head in AGGREGATE_REASONS:
        return AGGREGATE_REASONS[head] + (f" ({detail})" if detail else "")
    if head in REASONS:
        return REASONS[head] + (f" ({detail})" if detail else "")
    return _OTHER_CODES.get(code, "")


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _named(kind: type[IntEnum], code: int) -> str:
    return kind(code).name.lower() if code in list(kind) else str(code)


def _whys(state: Any, what: str) -> list[dict[str, str]]:
    # in a recording of a monitor that gave no sentences yet, the codes must do
    said = [*state.inhibit_texts, *[""] * (len(state.inhibits) - len(state.inhibit_texts))]
    found = {}
    for item, sentence in zip(state.inhibits, said, strict=False):
        kind, _, code = item.partition(":")
        if kind == what:
            found[code] = sentence or meaning(code)
    return [{"code": code, "text": words} for code, words in found.items()]


def _direction(state: Any, limits: Any, what: str) -> dict[str, Any]:
    current, power = getattr(limits, f"{what}_current"), getattr(limits, f"{what}_power")
    reason = getattr(limits, f"{what}_reason")
    whys = _whys(state, what)
    bare = reason.removeprefix("fault:")
    if bare not in {why["code"] for why in whys}:
        whys.append({"code": bare, "text": meaning(reason)})
    return {
        "allowed": bool(getattr(state, f"{what}_allowed")) and current > 0.0,
        "current_a": _number(current),
        "power_w": _number(power),
        "why": whys,
    }


def _contactors(state: Any) -> dict[str, Any]:
    whys = _whys(state, "close")
    closed = bool(state.contactors_closed)
    if not closed and not whys and state.state == State.STANDBY:
        whys = [{"code": _NOBODY_ASKED, "text": _NOBODY_ASKED_TEXT}]
    return {
        "closed": closed,
        "may_close": state.state in (*_CLOSED, State.STANDBY, State.PRECHARGE) and not _whys(state, "close"),
        "zero_current_requested": bool(state.zero_current_requested),
        "opening_in_s": _number(state.opening_deadline),
        "why": [] if closed else whys,
        "why_not_again": whys if closed else [],
        "why_not_drive": _whys(state, "drive"),
        "left_out": [
            {"string": int(kind.removeprefix("string_")), **why}
            for kind in dict.fromkeys(item.partition(":")[0] for item in state.inhibits)
            if kind.startswith("string_")
            for why in _whys(state, kind)
        ],
    }


def _fault(fault: Any) -> dict[str, Any]:
    row = FAULT_BY_ID.get(fault.id)
    seconds = fault.first_active.sec + fault.first_active.nanosec * 1e-9
    return {
        "id": fault.id,
        "level": Level(fault.level).name.lower() if fault.level in list(Level) else str(fault.level),
        "state": FaultState(fault.state).name.lower()
        if fault.state in list(FaultState)
        else str(fault.state),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds > 0.0 else None,
        "occurrences": int(fault.occurrences),
        "index": int(fault.index) if fault.index >= 0 else None,
        "value": _number(fault.value),
        "limit": _number(fault.limit),
        "unit": fault.unit,
        "from_record": bool(fault.from_record),
        "means": row.means if row is not None else fault.explanation,
        "does": row.does if row is not None else "",
        "cure": row.cure if row is not None else "",
        "clears": row.clear_condition if row is not None else "",
    }


def explain(state: Any, faults: Any, limits: Any) -> dict[str, Any]:
    """Put what the safety monitor says into plain data with words.

    Parameters
    ----------
    state : BmsState
    faults : FaultArray
    limits : Limits

    Returns
    -------
    dict
        ``state, reason, explanation, time_in_state_s, requested, contactors, charge, discharge, balancing,
        heating, cooling_required, limp_home, shutdown_in_s, faults, pending, not_monitored``; None where a
        number is unknown.
    """
    known = [_fault(fault) for fault in faults.faults]
    return {
        "state": _named(State, state.state).upper(),
        "reason": state.reason,
        "explanation": state.explanation,
        "time_in_state_s": _number(state.time_in_state),
        "requested": _named(State, state.requested_state).upper(),
        "contactors": _contactors(state),
        "charge": _direction(state, limits, "charge"),
        "discharge": _direction(state, limits, "discharge"),
        "balancing": {"allowed": bool(state.balancing_allowed), "why": _whys(state, "balancing")},
        "heating": {"allowed": bool(state.heating_allowed), "why": _whys(state, "heating")},
        "cooling_required": bool(state.cooling_required),
        "limp_home": bool(limits.limp_home),
        "shutdown_in_s": _number(limits.shutdown_in),
        "faults": [fault for fault in known if fault["state"] != "pending"],
        "pending": [fault for fault in known if fault["state"] == "pending"],
        "not_monitored": [{"id": row, "text": meaning(row)} for row in faults.not_monitored],
    }


def _wrapped(words: str, indent: int) -> str:
    return textwrap.fill(words, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent)


def _because(whys: list[dict[str, str]]) -> list[str]:
    return [_wrapped(f"{why['code']}: {why['text']}" if why["text"] else why["code"], 4) for why in whys]


def _current(name: str, part: dict[str, Any]) -> list[str]:
    if part["allowed"]:
        power = "" if part["power_w"] is None else f", {part['power_w']:.0f} W"
        head = f"{name}: up to {part['current_a']:.1f} A{power}; bound by"
    else:
        head = f"{name}: not now, because of"
    return [head, *_because(part["why"])]


def _may(name: str, part: dict[str, Any]) -> list[str]:
    if part["allowed"]:
        return [f"{name}: yes"]
    return [f"{name}: not now" + (", because of" if part["why"] else ""), *_because(part["why"])]


def _fault_lines(fault: dict[str, Any]) -> list[str]:
    where = "" if fault["index"] is None else f", index {fault['index']}"
    value = "" if fault["value"] is None else f", {fault['value']:.4g} {fault['unit']}"
    limit = "" if fault["limit"] is None else f" (limit {fault['limit']:.4g} {fault['unit']})"
    since = "" if fault["since"] is None else f" since {fault['since']}"
    times = f", {fault['occurrences']} times" if fault["occurrences"] > 1 else ""
    before = ", on record from before the last start" if fault["from_record"] else ""
    lines = [
        f"  {fault['id']} ({fault['level']}): {fault['state']}{since}{times}{before}{where}{value}{limit}"
    ]
    for label, key in (("", "means"), ("The system: ", "does"), ("You: ", "cure"), ("Clears ", "clears")):
        if fault[key]:
            lines.append(_wrapped(label + fault[key], 4))
    return lines


def text(report: dict[str, Any]) -> str:
    """Write what :func:`explain` gave for people."""
    contactors = report["contactors"]
    lines = [
        f"State: {report['state']} ({report['reason']}) for {report['time_in_state_s'] or 0.0:.0f} s",
        _wrapped(report["explanation"], 4),
    ]
    if contactors["closed"]:
        lines.append("Contactors: closed")
        if contactors["why_not_again"]:
            lines += [
                "  once open they may not close again, because of",
                *_because(contactors["why_not_again"]),
            ]
    else:
        lines.append("Contactors: open" + (", because of" if contactors["why"] else ""))
        lines += _because(contactors["why"])
    for label, key in (("  not for driving, because of", "why_not_drive"), ("  left out", "left_out")):
        if contactors[key]:
            lines += [label, *_because(contactors[key])]
    if contactors["zero_current_requested"]:
        left = contactors["opening_in_s"]
        lines.append(
            "    Zero current is requested" + (f"; open in {left:.1f} s at the latest" if left else "")
        )
    lines += _current("Charge", report["charge"]) + _current("Discharge", report["discharge"])
    lines += _may("Balance", report["balancing"]) + _may("Heat", report["heating"])
    if report["cooling_required"]:
        lines.append("Cooling: required, at the safe values of the pack file at least")
    if report["limp_home"]:
        left = report["shutdown_in_s"]
        end = "" if left is None else f": zero current in {left:.0f} s, then the contactors open"
        lines.append(f"Limp-home: no fresh limits of the estimator{end}")
    faults, pending = report["faults"], report["pending"]
    lines.append(f"Faults in force: {len(faults) or 'none'}")
    for fault in faults:
        lines += _fault_lines(fault)
    if pending:
        names = ", ".join(fault["id"] for fault in pending)
        lines.append(_wrapped(f"Not yet faults, their debounce or delay runs: {names}", 0))
    unseen = report["not_monitored"]
    lines.append(f"Not monitored, since the pack does not measure it: {len(unseen) or 'nothing'}")
    lines += [_wrapped(f"{row['id']}: {row['text']}" if row["text"] else row["id"], 4) for row in unseen]
    return "\n".join(lines)
