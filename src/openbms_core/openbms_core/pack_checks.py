"""Whether a pack file fits together: what a single key cannot show, for driver, monitor, launch and
``openbms check`` alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from openbms_core.config_file import ConfigError
from openbms_core.faults import FAULT_TABLE, check_timing, place_in_file
from openbms_core.pack import LoadedPack, PackFile

__all__ = ["check_pack"]

Problem = tuple[tuple[str | int, ...], str]
"""Key of the pack file, and what is wrong with it and would be right."""

_CELLS = ("cell_voltage_v", "reported_cell_voltage_minimum_v", "reported_cell_voltage_maximum_v")
_OWN_LIMITS = ("reported_charge_current_limit_a", "reported_discharge_current_limit_a")
_FEEDBACK = ("contactor_positive", "contactor_negative", "contactor_precharge")


def check_pack(pack: LoadedPack) -> None:
    """Refuse a pack file whose parts do not fit together.

    Parameters
    ----------
    pack : LoadedPack

    Raises
    ------
    ConfigError
        One line per problem, with file, line, key, value and cure: reactions slower than their fault-tolerant
        time, unknown faults, strings without contactor, precharge that cannot be judged, values that
        contradict each other, a quantity that is filled twice.
    """
    problems: list[str] = []
    try:
        check_timing(pack)
    except ConfigError as error:
        problems += error.problems
    file = pack.file
    for check in (
        _signals,
        _strings,
        _commands,
        _precharge,
        _opening,
        _times,
        _overrides,
        _thresholds,
        _cells,
        _polls,
    ):
        for key, text in check(file):
            place = place_in_file(pack, *key)
            problems.append(f"{place}: {_dotted(key)}{text}")
    if problems:
        raise ConfigError(problems)


def _dotted(key: tuple[str | int, ...]) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return f"{parts.removeprefix('.')}: "


def _list(numbers: set[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))


def _signals(pack: PackFile) -> Iterator[Problem]:
    """No value may come from two places."""
    filled: dict[tuple[str, int], int] = {}
    for number, entry in enumerate(pack.device.signals):
        for index, message, signal, _ in entry.expanded():
            before = filled.setdefault((entry.to, index), number)
            if before != number:
                yield (
                    ("device", "signals", number),
                    f"{entry.to}[{index}] is filled by {message}.{signal} here, and by "
                    f"device.signals[{before}] as well. Remove one, or correct its first_index.",
                )
                break


def _strings(pack: PackFile) -> Iterator[Problem]:
    """What is measured of one string is measured of each."""
    strings = set(range(pack.topology.strings))
    for quantity in (*_FEEDBACK, "string_current_a", "string_voltage_v"):
        entries = [n for n, entry in enumerate(pack.device.signals) if entry.to == quantity]
        covered = {index for n in entries for index, *_ in pack.device.signals[n].expanded()}
        if entries and strings - covered:
            yield (
                ("device", "signals", entries[0]),
                f"{quantity} is mapped for string {_list(covered)}, but not for string "
                f"{_list(strings - covered)}. Map it for each of the {len(strings)} strings.",
            )


def _sent(pack: PackFile, source: str) -> set[int]:
    """Give the indices of a quantity that are sent to the device."""
    sent: set[int] = set()
    for command in pack.device.commands:
        turns = 1
        for first, last in command.repeat.values():
            turns *= last - first + 1
        for signal in command.signals:
            if signal.source == source:
                size = 1
                for first, last in signal.repeat.values():
                    size *= last - first + 1
                sent |= set(range(signal.first_index, signal.first_index + size * turns))
    return sent


def _commands(pack: PackFile) -> Iterator[Problem]:
    """Every string has its contactors, or the device is asked for a state."""
    authority, strings = pack.contactors.moved_by, set(range(pack.topology.strings))
    if authority == "device" and not _sent(pack, "requested_state"):
        yield (
            ("contactors", "authority"),
            "it is 'device', but no device.commands entry sends requested_state: the device would never be "
            "asked to close. Add a signal with source requested_state, or, where it moves them by its own "
            "rules alone, contactors.takes_requests: false.",
        )
    if not pack.contactors.takes_requests and _sent(pack, "requested_state"):
        yield (
            ("contactors", "takes_requests"),
            "it is false, but a device.commands entry sends requested_state. Remove one of the two.",
        )
    if authority != "openbms":
        return
    for source in _FEEDBACK:
        sent = _sent(pack, source)
        needed = source == "contactor_positive" or (
            source == "contactor_precharge" and pack.contactors.precharge is not None
        )
        if (sent or needed) and strings - sent:
            yield (
                ("device", "commands"),
                f"no entry sends {source} of string {_list(strings - sent)}: the string has no such "
                f"contactor. Add a signal with source {source} and that first_index"
                + (", or remove contactors.precharge." if source == "contactor_precharge" else "."),
            )


def _precharge(pack: PackFile) -> Iterator[Problem]:
    """Precharge, and the fit of several strings, can be judged."""
    contactors = pack.contactors
    key = ("contactors", "precharge")
    if contactors.moved_by != "openbms":
        return
    if contactors.precharge is None:
        if pack.topology.strings > 1:
            yield (
                key,
                f"it is absent, but this pack has {pack.topology.strings} strings: strings of different "
                "voltage would be connected without anything between them. Add it, since "
                "voltage_difference_max_v decides whether a string may join.",
            )
        return
    if not pack.mapped("link_voltage_v"):
        yield (
            key,
            "precharge is judged by voltage, but device.signals maps no link_voltage_v. Map it, or remove "
            "contactors.precharge where the load limits its own inrush.",
        )
    if not pack.mapped("string_voltage_v") and not pack.mapped("cell_voltage_v"):
        yield (
            key,
            "precharge is judged by voltage, but device.signals maps neither string_voltage_v nor "
            "cell_voltage_v. Map one of them.",
        )
    if contactors.closing_time_s >= contactors.precharge.timeout_s:
        yield (
            ("contactors", "closing_time_s"),
            f"{contactors.closing_time_s:g} s is not below contactors.precharge.timeout_s "
            f"({contactors.precharge.timeout_s:g} s): every attempt would end before its contactor is "
            "closed. Shorten it, or lengthen the time-out.",
        )


def _opening(pack: PackFile) -> Iterator[Problem]:
    """Currents and voltages at which contactors open."""
    contactors, limits = pack.contactors, pack.limits
    highest = limits.discharge_current_max_a
    if contactors.break_current_a >= highest.safety:
        yield (
            ("contactors", "break_current_a"),
            f"{contactors.break_current_a:g} A is not below limits.discharge_current_max_a.safety "
            f"({highest.safety:g} A): zero current would never be waited for. State what the contactors "
            "break without wear.",
        )
    fuse = contactors.fuse
    if fuse is not None and fuse.current_min_a <= max(contactors.break_current_a, highest.operating):
        yield (
            ("contactors", "fuse", "current_min_a"),
            f"{fuse.current_min_a:g} A is not above contactors.break_current_a "
            f"({contactors.break_current_a:g} A) and limits.discharge_current_max_a.operating "
            f"({highest.operating:g} A): the fuse would melt in use. State the current from which it melts.",
        )
    for name, value in (
        ("weld_check_s", contactors.weld_check_s),
        ("link_discharge_time_s", contactors.link_discharge_time_s),
    ):
        if value and not pack.mapped("link_voltage_v"):
            yield (
                ("contactors", name),
                f"{value:g} s is judged by the link voltage, but device.signals maps no link_voltage_v. "
                "Map it, or remove this key.",
            )
    if contactors.weld_check_s and contactors.precharge is None:
        yield (
            ("contactors", "weld_check_s"),
            f"{contactors.weld_check_s:g} s is judged by contactors.precharge.voltage_difference_max_v, "
            "which is absent. Add contactors.precharge, or remove this key.",
        )
    if contactors.link_safe_voltage_v is not None and contactors.link_discharge_time_s is None:
        yield (
            ("contactors", "link_safe_voltage_v"),
            f"{contactors.link_safe_voltage_v:g} V has no effect without contactors.link_discharge_time_s. "
            "Add that, or remove this key.",
        )


def _times(pack: PackFile) -> Iterator[Problem]:
    """Expiry and deadlines."""
    contactors, scan_s = pack.contactors, pack.measurement.scan_period_s
    if contactors.command_valid_for_s < 2.0 * scan_s:
        yield (
            ("contactors", "command_valid_for_s"),
            f"{contactors.command_valid_for_s:g} s is shorter than two scan periods ({2.0 * scan_s:g} s): a "
            "single late scan would open the contactors. Lengthen it, or shorten measurement.scan_period_s.",
        )
    if contactors.fault_opening_deadline_s > contactors.opening_deadline_s:
        yield (
            ("contactors", "fault_opening_deadline_s"),
            f"{contactors.fault_opening_deadline_s:g} s is longer than contactors.opening_deadline_s "
            f"({contactors.opening_deadline_s:g} s): a fault would open later than a request. Shorten it.",
        )


def _overrides(pack: PackFile) -> Iterator[Problem]:
    """Own times of fault rows have an effect."""
    opening = {row.name for row in FAULT_TABLE if row.opens}
    for name, own in pack.faults.items():
        if own.opening_deadline_s is not None and name not in opening:
            yield (
                ("faults", name, "opening_deadline_s"),
                f"{own.opening_deadline_s:g} s has no effect: this fault does not open the contactors. "
                "Remove it.",
            )


def _thresholds(pack: PackFile) -> Iterator[Problem]:
    """Thresholds beside the limit triples stand on the right side of them."""
    for way in ("charge", "discharge"):
        low = getattr(pack.limits, f"{way}_temperature_min_degc").operating
        high = getattr(pack.limits, f"{way}_temperature_max_degc").operating
        if low >= high:
            yield (
                ("limits", f"{way}_temperature_min_degc"),
                f"operating is {low:g} degC, but {way}_temperature_max_degc.operating is {high:g} degC: no "
                "temperature would be allowed. Lower the one, or raise the other.",
            )
    deep_v, lowest = pack.protection.deep_discharge_voltage_v, pack.limits.cell_voltage_min_v
    if deep_v is not None and deep_v > lowest.safety:
        yield (
            ("protection", "deep_discharge_voltage_v"),
            f"{deep_v:g} V is above limits.cell_voltage_min_v.safety ({lowest.safety:g} V): a pack in use "
            "would be locked out for service. Lower it.",
        )


def _cells(pack: PackFile) -> Iterator[Problem]:
    """Cells are left to a device only where it shows none, and says what it allows."""
    if not pack.limits.cells_left_to_device:
        return
    key = ("limits", "cells_left_to_device")
    if shown := [name for name in _CELLS if pack.mapped(name)]:
        yield key, f"it is true, but device.signals maps {shown[0]}: it is judged here. Remove this key."
    if pack.contactors.authority != "device":
        yield (
            key,
            f"it is true, but contactors.authority is '{pack.contactors.authority}': only a battery with a "
            "management of its own can spare its cells. Map its cells, or correct the authority.",
        )
    if missing := [name for name in _OWN_LIMITS if not pack.mapped(name)]:
        yield (
            key,
            f"it is true, but device.signals maps no {missing[0]}: nobody would say what the cells bear. Map "
            "it, or remove this key.",
        )


def _polls(pack: PackFile) -> Iterator[Problem]:
    """What is polled stays fresh until the next answer."""
    periods = {poll.message: poll.period_s for poll in pack.device.polls}
    for number, entry in enumerate(pack.device.signals):
        period_s = max((periods.get(message, 0.0) for _, message, _, _ in entry.expanded()), default=0.0)
        age_s = pack.max_age_s(entry)
        if age_s <= period_s:
            yield (
                ("device", "signals", number),
                f"{entry.to} is stale after {age_s:g} s, but polled only every {period_s:g} s: "
                "it would come and go. Lengthen its maximum age, or shorten period_s of the poll.",
            )
