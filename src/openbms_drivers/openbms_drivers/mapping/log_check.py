"""A pack file against a log: what came, how often, whether it can be right."""

from __future__ import annotations

import math
from typing import Any

from openbms_core.pack import LoadedPack
from openbms_drivers.log.ledger import Ledger
from openbms_drivers.mapping.coverage import Finding
from openbms_drivers.mapping.evidence import LogEvidence, key_text, near_identifier
from openbms_drivers.mapping.integrity import counter_jumps, find_integrity
from openbms_drivers.mapping.log_series import ScanSeries
from openbms_drivers.mapping.log_values import judge_values, named
from openbms_drivers.mapping.reaction import SignVerdict
from openbms_drivers.signal_decoder import SignalDecoder

__all__ = ["judge_log"]


def judge_log(
    pack: LoadedPack, decoder: SignalDecoder, ledger: Ledger, series: ScanSeries, evidence: LogEvidence
) -> tuple[list[Finding], SignVerdict | None]:
    """Judge a pack file by a log that went through the driver.

    Parameters
    ----------
    pack, decoder, ledger
        The pack, its decoder and what the replay counted.
    series : ScanSeries
        Of its scans.
    evidence : LogEvidence
        The same frames by the DBC.

    Returns
    -------
    findings : list of Finding
    sign : SignVerdict or None
        Of the current; None where it is not mapped.
    """
    findings = _presence(pack, ledger)
    findings += _values(pack, ledger)
    more, sign = judge_values(pack, ledger, series)
    findings += more
    findings += _protection(pack, decoder, evidence)
    findings += _foreign(decoder, evidence)
    return findings, sign


def _quantity(name: str) -> str:
    return name.partition("[")[0]


def _presence(pack: LoadedPack, ledger: Ledger) -> list[Finding]:
    findings = []
    silent: dict[str, list[str]] = {}
    for name in ledger.never():
        silent.setdefault(_quantity(name), []).append(name)
    for quantity, names in silent.items():
        findings.append(Finding(quantity, "missing", f"never came in the log: {named(names)}"))
    ages: dict[str, float] = {}
    for entry in pack.file.device.signals:
        for index, *_ in entry.expanded():
            ages[f"{entry.to}[{index}]"] = ages[entry.to] = pack.file.max_age_s(entry)
    late: dict[str, list[tuple[float, str, float]]] = {}
    slow: dict[str, list[tuple[float, str]]] = {}
    rates: dict[str, list[float]] = {}
    for row in ledger.signals():
        quantity, age_s = _quantity(row["name"]), ages.get(row["name"], math.inf)
        rate = row["rate_hz"]
        if rate:
            rates.setdefault(quantity, []).append(rate)
            if 1.0 / rate > age_s:
                slow.setdefault(quantity, []).append((1.0 / rate, row["name"]))
                continue
        if row["longest_gap_s"] is not None and row["longest_gap_s"] > age_s:
            late.setdefault(quantity, []).append(
                (row["longest_gap_s"], row["name"], row["longest_gap_at_s"] or 0.0)
            )
    for quantity, found in slow.items():
        period, name = max(found)
        findings.append(
            Finding(
                quantity, "doubtful",
                f"stale after {ages[quantity]:g} s, but {name} comes every {period:.3g} s: lengthen its "
                "maximum age"
                + (f" ({len(found)} like it)" if len(found) > 1 else ""),
            )
        )  # fmt: skip
    for quantity, gaps in late.items():
        gap_s, name, at_s = max(gaps)
        findings.append(
            Finding(
                quantity, "doubtful",
                f"{name} did not come for {gap_s:.3g} s from {at_s:.1f} s on, longer than its maximum age of "
                f"{ages[quantity]:g} s"
                + (f" ({len(gaps)} like it)" if len(gaps) > 1 else ""),
            )
        )  # fmt: skip
    for quantity, found_rates in rates.items():
        if quantity not in slow and quantity not in late:
            low, high = min(found_rates), max(found_rates)
            shown = f"{low:.3g}" if high - low < 0.02 * high else f"{low:.3g} to {high:.3g}"
            findings.append(Finding(quantity, "covered", f"{shown} Hz, stale after {ages[quantity]:g} s"))
    return findings


def _values(pack: LoadedPack, ledger: Ledger) -> list[Finding]:
    findings: list[Finding] = []
    absent: dict[str, list[str]] = {}
    some: dict[str, list[str]] = {}
    odd: dict[str, list[str]] = {}
    for row in ledger.signals():
        quantity, count = _quantity(row["name"]), row["count"]
        if row["not_available"] == count:
            absent.setdefault(quantity, []).append(row["name"])
        elif row["not_available"]:
            some.setdefault(quantity, []).append(f"{row['name']} {row['not_available']} of {count}")
        if row["implausible"]:
            odd.setdefault(quantity, []).append(f"{row['name']} {row['implausible']} of {count}")
    for quantity, names in absent.items():
        findings.append(
            Finding(quantity, "doubtful", f"the device always says that it has no value: {named(names)}")
        )
    for quantity, names in some.items():
        findings.append(Finding(quantity, "note", f"codes for no value were seen: {named(names)}"))
    for quantity, names in odd.items():
        findings.append(
            Finding(
                quantity,
                "doubtful",
                f"values outside of minimum and maximum (or no number): {named(names)}: scale, range or a "
                "code for no value",
            )
        )
    return findings


def _protection(pack: LoadedPack, decoder: SignalDecoder, evidence: LogEvidence) -> list[Finding]:
    findings = []
    for plan in decoder.plans:
        traffic = evidence.traffic(plan.message)
        if traffic is None:
            continue
        if traffic.short:
            findings.append(
                Finding(
                    plan.name,
                    "doubtful",
                    f"{traffic.short} of {traffic.count} frames are shorter than its {plan.length} bytes in "
                    "the DBC, so they are refused",
                )
            )
        frames = [data[: plan.length] for _, data in traffic.heads if len(data) >= plan.length]
        if not frames:
            continue
        if plan.check is not None:
            wrong = sum(not plan.check(data) for data in frames)
            if wrong:
                what = "all" if wrong == len(frames) else f"{wrong} of {len(frames)}"
                cure = (
                    ": the kind of checksum in device.integrity is not this device's"
                    if wrong > 0.9 * len(frames)
                    else ""
                )
                findings.append(
                    Finding(plan.name, "doubtful", f"the checksum of {what} frames is wrong{cure}")
                )
            else:
                findings.append(Finding(plan.name, "covered", f"checksum right in {len(frames)} frames"))
        if plan.counter is not None and len(frames) > 2:
            modulo = next(
                (
                    row.counter.modulo
                    for row in pack.file.device.integrity
                    if row.counter is not None and _matches(row.message, plan.name)
                ),
                plan.counter.mask + 1,
            )
            steps, jumps, repeats = counter_jumps(
                [int(plan.counter.extract(data)) for data in frames], modulo
            )
            bad = jumps + repeats
            text = f"counter: {steps} steps by one, {jumps} jumps (lost frames), {repeats} repeats"
            findings.append(Finding(plan.name, "doubtful" if bad > 0.02 * len(frames) else "covered", text))
        if plan.check is None or plan.counter is None:
            findings += _better(plan, frames)
    return findings


def _matches(pattern: str, name: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(name, pattern)


def _better(plan: Any, frames: list[bytes]) -> list[Finding]:
    """Offer what the log proves and the pack file does not use."""
    found = find_integrity(plan.message, frames)
    if found is None:
        return []
    parts = []
    if plan.check is None and found.kind is not None:
        parts.append(f"checksum: {{signal: {found.checksum}, {found.kind.yaml}}}")
    if plan.counter is None and found.counter and not found.counter_doubt:
        parts.append(f"counter: {{signal: {found.counter}, modulo: {found.modulo}}}")
    if not parts:
        return []
    return [
        Finding(
            plan.name,
            "note",
            f"the log proves it: add {{message: {plan.name}, {', '.join(parts)}}} to device.integrity",
        )
    ]


def _foreign(decoder: SignalDecoder, evidence: LogEvidence) -> list[Finding]:
    findings = []
    if evidence.foreign:
        count = sum(evidence.foreign.values())
        shown = ", ".join(f"{key_text(key)} {number}×" for key, number in evidence.foreign.most_common(8))
        more = f" and {len(evidence.foreign) - 8} more" if len(evidence.foreign) > 8 else ""
        findings.append(
            Finding(
                "identifiers",
                "note",
                f"{len(evidence.foreign)} identifiers ({count} of {evidence.frames} frames) belong to no "
                f"message of the DBC: {shown}{more}",
            )
        )
        missing = [plan.message for plan in decoder.plans if evidence.traffic(plan.message) is None]
        near = list(
            dict.fromkeys(text for key in evidence.foreign if (text := near_identifier(key, missing)))
        )
        findings += [Finding("identifiers", "doubtful", text) for text in near[:4]]
    return findings
