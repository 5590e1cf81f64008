"""What a pack file covers, by itself: which quantity is from where, what is missing, what looks wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from openbms_core.pack import LoadedPack
from openbms_drivers.mapping.facts import Fact, collect_facts
from openbms_drivers.mapping.integrity import checksum_signal, counter_signal
from openbms_drivers.signal_decoder import ON_OFF, SignalDecoder

__all__ = ["Finding", "coverage"]

Verdict = Literal["covered", "missing", "doubtful", "note"]
_NO_RANGE = frozenset({"cell_voltage_v", "string_current_a", "string_voltage_v", "temperature_degc"})


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    about : str
        Quantity, message or part.
    verdict : str
        ``covered``, ``missing`` (something is needed and not there), ``doubtful`` (something may be wrong),
        ``note``.
    text : str
        One clause.
    """

    about: str
    verdict: Verdict
    text: str

    def told(self) -> dict[str, str]:
        """Give it for JSON."""
        return asdict(self)


def _sources(pack: LoadedPack) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in pack.file.device.signals:
        names = [f"{message}.{signal}" for _, message, signal, _ in entry.expanded()]
        found.setdefault(entry.to, []).append(
            names[0]
            if len(names) == 1
            else f"{names[0]} … {names[-1]}"
            if names[0] != names[-1]
            else f"{names[0]} in turn"
        )
    return found


def _covered(pack: LoadedPack, quantity: str) -> set[int]:
    return {
        index for entry in pack.file.device.signals if entry.to == quantity for index, *_ in entry.expanded()
    }


def coverage(pack: LoadedPack, decoder: SignalDecoder) -> list[Finding]:
    """Judge a pack file without a log.

    Parameters
    ----------
    pack : LoadedPack
        The pack; a draft with stand-ins will do.
    decoder : SignalDecoder
        Of it.

    Returns
    -------
    list of Finding
    """
    findings: list[Finding] = []
    sources = _sources(pack)
    for quantity, names in sources.items():
        count = len(_covered(pack, quantity))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        findings.append(
            Finding(quantity, "covered", f"{count} from {shown}" if count > 1 else f"from {shown}")
        )
    findings += _needed(pack)
    for text in _once(decoder.warnings):
        of_map = text.startswith("device.")
        findings.append(
            Finding("unit" if of_map else "DBC", "doubtful" if of_map else "note", text.rstrip("."))
        )
    facts = {(fact.message.name, fact.name): fact for fact in collect_facts(decoder.messages)}
    findings += _ranges(pack, facts)
    findings += _cycles(pack, facts)
    findings += _unprotected(pack, decoder)
    return findings


def _once(warnings: list[str]) -> list[str]:
    """Leave out what was said of a member of the same row already."""
    seen: dict[str, str] = {}
    for text in warnings:
        seen.setdefault(f"{text.split(': ', 1)[0]}: {text.rsplit(': ', 1)[-1]}", text)
    return list(seen.values())


def _needed(pack: LoadedPack) -> list[Finding]:
    findings = []
    mapped = pack.file.mapped
    cells = pack.file.topology.cell_count
    if not mapped("string_current_a"):
        findings.append(
            Finding(
                "string_current_a", "missing", "no state of charge and no overcurrent protection without it"
            )
        )
    got = _covered(pack, "cell_voltage_v")
    extremes = mapped("reported_cell_voltage_minimum_v") and mapped("reported_cell_voltage_maximum_v")
    if got and len(got) < cells:
        lacking = sorted(set(range(cells)) - got)
        shown = ", ".join(str(index) for index in lacking[:6]) + (" …" if len(lacking) > 6 else "")
        findings.append(
            Finding(
                "cell_voltage_v",
                "missing",
                f"{len(lacking)} of the {cells} cells of the topology are not mapped: index {shown}",
            )
        )
    elif not got:
        verdict: Verdict = "doubtful" if extremes else "missing"
        text = "no cell is mapped" + (
            ": the extremes that the device reports protect, no weak cell is found" if extremes else
            ", nor the extremes that the device reports: no protection against overvoltage and undervoltage"
        )  # fmt: skip
        findings.append(Finding("cell_voltage_v", verdict, text))
    sensors = len(pack.file.topology.sensor_names)
    sensed = _covered(pack, "temperature_degc")
    if sensors and len(sensed) < sensors:
        unheard = [pack.file.topology.sensor_names[index] for index in sorted(set(range(sensors)) - sensed)]
        findings.append(
            Finding("temperature_degc", "missing", f"sensors without a signal: {', '.join(unheard[:6])}")
        )
    of_cells = {
        at for at, (_, location, _) in enumerate(pack.file.topology.sensors) if location == "cell"
    } & sensed
    if not of_cells:
        reported = mapped("reported_temperature_minimum_degc") and mapped("reported_temperature_maximum_degc")
        findings.append(
            Finding(
                "temperature_degc", "doubtful" if reported else "missing",
                "no temperature of cells is mapped"
                + (": the extremes that the device reports protect" if reported else ": no temperature limit "
                                                                                     "works"),
            )
        )  # fmt: skip
    if not mapped("string_voltage_v"):
        findings.append(
            Finding("string_voltage_v", "doubtful", "not mapped: cells and pack voltage are not compared")
        )
    if not mapped("reported_soc"):
        findings.append(
            Finding("reported_soc", "note", "not mapped: the device's state of charge is not compared")
        )
    if pack.file.contactors.moved_by == "openbms" and not mapped("contactor_positive"):
        findings.append(
            Finding("contactor_positive", "missing", "OpenBMS moves the contactors and gets no feedback")
        )
    findings += [
        Finding(quantity, "note", "not mapped, so not monitored")
        for quantity in ("insulation_resistance_ohm", "interlock")
        if not mapped(quantity)
    ]
    return findings


def _ranges(pack: LoadedPack, facts: dict[tuple[str, str], Fact]) -> list[Finding]:
    findings = []
    for number, entry in enumerate(pack.file.device.signals):
        where = f"device.signals[{number}]"
        unguarded = entry.minimum is None and entry.maximum is None and not entry.not_available_raw
        if entry.to in _NO_RANGE and unguarded and entry.valid_signal is None:
            findings.append(
                Finding(
                    entry.to, "doubtful", f"{where} has neither minimum nor maximum: any raw value counts"
                )
            )
        missing: dict[int, str] = {}
        for _, message, signal, _ in entry.expanded():
            fact = facts.get((message, signal))
            if fact is None or entry.to in ON_OFF:
                continue
            missing |= {
                code: fact.choices[code] for code in fact.no_value_codes
                if code not in entry.not_available_raw and not _out_of_range(fact, code, entry)
            }  # fmt: skip
        if missing:
            shown = ", ".join(f"{code} ({label})" for code, label in list(missing.items())[:4])
            findings.append(
                Finding(
                    entry.to,
                    "doubtful",
                    f"{where}: the DBC's value table calls raw {shown} no value: add not_available_raw",
                )
            )
    return findings


def _out_of_range(fact: Fact, raw: int, entry: Any) -> bool:
    value = fact.physical(raw) * entry.scale + entry.offset
    low, high = entry.minimum, entry.maximum
    return (low is not None and value < low) or (high is not None and value > high)


def _cycles(pack: LoadedPack, facts: dict[tuple[str, str], Fact]) -> list[Finding]:
    findings = []
    for number, entry in enumerate(pack.file.device.signals):
        worst = 0.0
        for _, message, signal, _ in entry.expanded():
            fact = facts.get((message, signal))
            if fact is not None and fact.period_s is not None:
                turns = 1
                for first, last in (entry.repeat[key] for key in entry.selected_by):
                    turns *= last - first + 1
                worst = max(worst, fact.period_s * (1 if fact.levels else turns))
        age_s = pack.file.max_age_s(entry)
        if worst and age_s < worst * 1.05:
            findings.append(
                Finding(
                    entry.to, "doubtful",
                    f"device.signals[{number}] is stale after {age_s:g} s, but by the DBC it comes every "
                    f"{worst:g} s: lengthen "
                    "its maximum age",
                )
            )  # fmt: skip
    return findings


def _unprotected(pack: LoadedPack, decoder: SignalDecoder) -> list[Finding]:
    findings = []
    for plan in decoder.plans:
        named = []
        if plan.check is None and (signal := checksum_signal(plan.message)) is not None:
            named.append(f"checksum {signal.name}")
        if plan.counter is None and (signal := counter_signal(plan.message)) is not None:
            named.append(f"counter {signal.name}")
        if named:
            findings.append(
                Finding(plan.name, "note", f"its {' and '.join(named)} is not checked: device.integrity")
            )
    return findings
