"""The reference page of states, what moves between them, and what the monitor says of itself."""

from __future__ import annotations

from openbms_control.safety.explain import INHIBITS, REASONS, STATES
from openbms_control.safety.joining import LEFT_OUT
from openbms_control.safety.state_machine import TRANSITIONS, Event
from openbms_core.types import State

__all__ = ["states_page"]

_INTRODUCTION = """\
<!-- Written by `python -m openbms_control.reference`; edit the code, not this page. -->
# States

What moves the pack from state to state, and the codes by which the topic `state` says why. The thinking
behind it is in [Contactors](../concepts/contactors.md).

## What each state means

| State | Meaning |
|---|---|"""

_TRANSITIONS = """
## What moves it

Everything that is not here leaves the state as it is. Where several are true at once the first in this
order counts. So DRIVE and CHARGE meet only through STANDBY, and every way out of closed contactors is
OPENING.

| Event | When | From | To |
|---|---|---|---|"""

_REASONS = """
## Reason codes

`reason` says why the pack is in its state; `fault:<ID>` names a row of the [fault table](faults.md).

| Code | Meaning |
|---|---|"""

_INHIBITS = """
## Inhibits

`inhibits` holds codes `what:reason`, `inhibit_texts` one sentence for each. What: `close` (no contactor may
be closed), `drive` (DRIVE is refused), `charge`, `discharge`, `balancing`, `heating`, `string_<number>` (this
string is not connected). Reasons are rows of the [fault table](faults.md), [reasons of limits](limits.md),
and these:

| Code | Meaning |
|---|---|"""


def states_page() -> str:
    """Give the page of states, events and codes (Markdown)."""
    lines = [_INTRODUCTION]
    lines += [f"| {state.name} | {STATES[state]} |" for state in State]
    lines.append(_TRANSITIONS)
    for event in Event:
        targets: dict[str, list[str]] = {}
        for (state, cause), after in TRANSITIONS.items():
            if cause == event:
                to = "the requested state" if after is None else after.name
                targets.setdefault(to, []).append(state.name)
        lines += [
            f"| {event.name} | {event.value} | {', '.join(sources)} | {to} |"
            for to, sources in targets.items()
        ]
    lines.append(_REASONS)
    lines += [f"| `{code}` | {text} |" for code, text in REASONS.items()]
    lines.append(_INHIBITS)
    lines += [f"| `{code}` | {text} |" for code, text in INHIBITS.items()]
    lines += [f"| `string_<number>:{code}` | {text} |" for code, text in LEFT_OUT.items()]
    return "\n".join(lines) + "\n"
