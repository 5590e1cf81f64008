"""`openbms inject`: break something in a running system, and follow what it does against what it ought to."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError
from rich.console import Console

from openbms_bringup.claim import check_namespace, domain_number
from openbms_bringup.inject.case import Case, Twin
from openbms_bringup.inject.hands import Hands
from openbms_bringup.inject.library import find_case, load_library
from openbms_bringup.inject.outcome import judge
from openbms_bringup.inject.run_case import NotReadyError, follow, pack_rows, prepare
from openbms_bringup.inject.show import Events, announce, say_outcome
from openbms_bringup.ros.remote_system import RemoteSystem
from openbms_core.config_file import ConfigError
from openbms_sim.faults import FAULTS, InjectionError, validated

__all__ = ["InjectOptions", "clear", "inject"]

_HEARD_S = 5.0
_RAW_WATCH_S = 5.0


@dataclass(frozen=True)
class InjectOptions:
    """What `openbms inject` was told."""

    name: str
    values: tuple[str, ...] = ()
    namespace: str = "bms"
    for_s: float | None = None
    watch_s: float | None = None
    prepare: bool = False


def _parsed(values: Iterable[str]) -> dict[str, Any]:
    parsed = {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ConfigError(f"'{text}': give key=value, such as cell=17.")
        try:
            parsed[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"'{text}': the value is no number, word or list.") from None
    return parsed


def _sentence(error: ValidationError | InjectionError | ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg'].removeprefix('Value error, ')} (value {first['input']!r})."
    return str(error)


def _chosen(options: InjectOptions, state: str) -> tuple[Case, bool]:
    """Give the case, and whether it has an expectation."""
    values = _parsed(options.values)
    cases = load_library()
    try:
        if options.name not in cases and options.name in FAULTS:
            entry = {"fault": options.name, **values}
            validated(entry, options.name)
            given = {"state": state} if state in ("drive", "charge", "connected") else {"state": "standby"}
            return (
                Case.model_validate(
                    {"name": "raw", "description": options.name, "given": given, "inject": [entry]}
                ),
                False,
            )
        case = find_case(options.name, cases, FAULTS).with_values(values)
    except (ValidationError, InjectionError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{options.name}: {_sentence(error)}") from None
    return case, True


def _limited(case: Case, for_s: float | None) -> Case:
    """Let every action end after this time that does not end by itself."""
    if for_s is None:
        return case
    actions = [
        action.model_copy(update={"for_s": for_s}) if getattr(action, "for_s", 0.0) is None else action
        for action in case.inject
    ]
    return case.model_copy(update={"inject": actions})


def _checked_system(options: InjectOptions) -> RemoteSystem:
    check_namespace(options.namespace)
    system = RemoteSystem(options.namespace, domain_number(os.environ.get("ROS_DOMAIN_ID") or "0"))
    if not system.wait(lambda: bool(system.state()), _HEARD_S):
        system.close()
        raise ConfigError(
            f"no system is heard at /{options.namespace.strip('/')}/state on ROS domain {system.domain}. Is "
            "one running (openbms run, or ros2 launch openbms_bringup sim.launch.py), with the same "
            "ROS_DOMAIN_ID and --namespace?"
        )
    return system


def inject(options: InjectOptions, console: Console) -> int:
    """Inject, follow and judge; give the exit code.

    Raises
    ------
    ConfigError
        It cannot be done; one sentence says why.
    """

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    system = _checked_system(options)
    try:
        return _inject(options, system, say)
    finally:
        system.close()


def clear(namespace: str, console: Console) -> int:
    """Take back all that is broken in the twin; give the exit code."""
    system = _checked_system(InjectOptions("", namespace=namespace))
    try:
        entries = system.injections()
        system.set_injections([])
    finally:
        system.close()
    what = ", ".join(str(entry.get("fault")) for entry in entries)
    console.print(f"cleared: {what}" if entries else "nothing was injected", markup=False, highlight=False)
    return 0


def _inject(options: InjectOptions, system: RemoteSystem, say: Callable[[str], None]) -> int:
    state = system.state()
    case, expects = _chosen(options, state)
    case = _limited(case, options.for_s)
    if options.watch_s is not None or not expects:
        case = case.model_copy(update={"watch_s": options.watch_s or options.for_s or _RAW_WATCH_S})
    rows = pack_rows(system)
    missing = [name for name in case.expect.faults if name not in rows]
    if missing and not (case.expect.any_of and len(missing) < len(case.expect.faults)):
        raise ConfigError(
            f"this pack does not monitor {', '.join(missing)}, so {case.name} proves nothing here."
        )
    if options.prepare:
        try:
            before = prepare(system, case.given)
        except NotReadyError as error:
            raise ConfigError(f"{case.given.state} is not reached: {error}.") from error
    else:
        before = system.injections()
        if expects and state != case.given.state:
            raise ConfigError(
                f"{case.name} begins in {case.given.state.upper()}, and the pack is in {state.upper()}. Ask "
                f"for it (openbms request {case.given.state}), or give --prepare."
            )
    announce(case, expects, say, case.expect.limit_s(rows))
    hands = Hands(system, lambda text: say(f"           {text}"))
    start_s = time.monotonic()
    try:
        # what is taken back early is judged by what happens meanwhile
        whole = options.for_s is None or not expects
        trace = follow(system, case, before, rows, hands, to_the_end=whole, watch=Events(say))
    except KeyboardInterrupt:
        with contextlib.suppress(ConfigError):
            system.set_injections(before)
        say("taken back")
        return 1
    finally:
        hands.release()
    code = 0
    if expects:
        outcome = judge(case, trace, rows)
        say_outcome(outcome, say)
        code = 0 if outcome.as_expected else 1
    _say_what_is_left(case, start_s, say)
    return code


def _say_what_is_left(case: Case, start_s: float, say: Callable[[str], None]) -> None:
    left = [action for action in case.inject if isinstance(action, Twin)]
    endless = [action.fault for action in left if action.for_s is None]
    if endless:
        say(f"still injected: {', '.join(endless)}; openbms inject --clear takes it back")
        return
    rest_s = max((a.at_s + (a.for_s or 0.0) - (time.monotonic() - start_s) for a in left), default=0.0)
    if rest_s > 0.0:
        say(f"ends by itself in {rest_s:.1f} s")
