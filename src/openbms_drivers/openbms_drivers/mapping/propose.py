"""Proposes a signal map for a DBC: what each signal most likely is, why, and what is not sure.

Nothing is invented: a quantity that no signal fits is left out, and what that means is said.
"""

from __future__ import annotations

import math
import re
from typing import Any

from openbms_drivers.dbc_file import DbcFile
from openbms_drivers.mapping.codes import no_value_codes
from openbms_drivers.mapping.evidence import LogEvidence
from openbms_drivers.mapping.facts import Fact
from openbms_drivers.mapping.integrity import find_integrity
from openbms_drivers.mapping.proposal import ON_OFF, Item, Proposal, Sensor
from openbms_drivers.mapping.reaction import SignVerdict, sign_by_charge, sign_by_voltage
from openbms_drivers.mapping.scales import PLAUSIBLE, Scaling
from openbms_drivers.mapping.search import Search

__all__ = ["arrange", "propose"]

_NEEDED: dict[str, str] = {
    "string_current_a": "no pack current: without it there is no state of charge and no protection against "
    "overcurrent. "
    "Map it by hand, or add the DBC of a sensor with device.more_dbc",
    "cell_voltage_v": "no array of cell voltages: OpenBMS then protects by the extremes that the device "
    "reports, where "
    "it reports them, and can neither balance nor find a weak cell",
    "temperature_degc": "no temperature of cells: temperature limits rest on the extremes that the device "
    "reports, where "
    "it reports them",
    "string_voltage_v": "no pack voltage: a precharge cannot be judged, and cells are not compared with it",
    "reported_soc": "no state of charge of the device: OpenBMS estimates its own and has nothing to compare "
    "it with",
}
_SIGN_WORDS = re.compile(
    r"(posit\w*|pos\.?|\+ ?ve|>\s*0|negat\w*|neg\.?|- "
    r"?ve|<\s*0|(?<!\w)\+|(?<!\w)-)\s*(?:values?|current|sign|a|amps?)?\s*"
    r"(?:is|are|=|:|means?|for|when|while|bei|beim|->|on|in|during|indicates?)*\s*(?:the\s+)?(?:battery\s+)?(?:pack\s+)?(?:is\s+)?"
    r"(discharg\w*|charg\w*|entlad\w*|lad\w*|regen\w*|driv\w*|traction|out\b|into?\b)",
    re.IGNORECASE,
)


def _comment_sign(fact: Fact, dbc: DbcFile) -> tuple[int, str]:
    """Read the sign of a current from its comment: 1, -1 or 0, and the words."""
    for text in (fact.comment, " ".join(str(fact.message.comment or "").split()), fact.signal.unit or ""):
        match = _SIGN_WORDS.search(text)
        if match is not None:
            positive = not match[1].lower().startswith(("neg", "-", "<"))
            into = match[2].lower().startswith(("charg", "lad", "regen", "in"))
            return (1 if positive == into else -1), match[0].strip()
    low = fact.name.lower()
    if re.search(r"discharge_?positive|dischargepositive|dischgpos", low):
        return -1, fact.name
    return 0, ""


def _limits(item: Item) -> tuple[float | None, float | None]:
    """Give the plausible range for an item."""
    if item.quantity in ON_OFF:
        return None, None
    fact = item.members[0]
    ends = sorted(value * item.scaling.scale + item.scaling.offset for value in fact.reach)
    known = PLAUSIBLE.get(item.quantity)
    if item.quantity == "string_voltage_v":
        return 0.0, _rounded(min(max(ends[1], 10.0), 2000.0))
    if known is not None:
        return known
    if item.quantity == "string_current_a" or "current" in item.quantity:
        high = max(abs(ends[0]), abs(ends[1]))
        if fact.signal.conversion.is_float or high > 20_000:
            return None, None
        low = -_rounded(abs(ends[0])) if ends[0] < 0 else 0.0
        return low, _rounded(ends[1]) if ends[1] > 0 else 0.0
    return (0.0, None) if item.quantity == "insulation_resistance_ohm" else (None, None)


def _rounded(value: float) -> float:
    """Round up to two digits."""
    if value <= 0.0 or not math.isfinite(value):
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.6g}")


def propose(dbc: DbcFile, evidence: LogEvidence | None = None) -> Proposal:
    """Propose a signal map.

    Parameters
    ----------
    dbc : DbcFile
        The DBC.
    evidence : LogEvidence, optional
        Of a log, which then weighs in: what is really there, plausible values, sign of the current, kinds of
        checksum.

    Returns
    -------
    Proposal
    """
    proposer = Search(dbc, evidence)
    cells, unknown = proposer.cells()
    temperatures = proposer.temperatures()
    count = cells[0].size if cells else 0
    items = [*cells, *proposer.balancing(count), *temperatures, *proposer.scalars()]
    proposal = Proposal(dbc, items, cells=count, notes=[*unknown, *proposer.notes])
    for item in items:
        codes: dict[int, None] = {}
        whys: list[str] = []
        if item.quantity not in ON_OFF:
            for fact in item.members if len(item.members) <= 16 else (item.members[0], item.members[-1]):
                found = no_value_codes(fact, evidence)
                codes |= dict.fromkeys(found.raw)
                whys += [found.why] if found.why else []
        item.codes = tuple(codes)
        if whys:
            item.notes.append(f"no value: {whys[0]}")
        item.limits = _limits(item)
    _sign(proposal, evidence)
    arrange(proposal)
    _timing(proposal, evidence)
    _integrity(proposal, evidence)
    _overall(proposal, evidence)
    for item in items:
        item.sure = not item.doubts
    return proposal


def _sign(proposal: Proposal, evidence: LogEvidence | None) -> None:
    """Find the sign of the current: by a log, else by what a comment says."""
    item = proposal.item("string_current_a")
    if item is None:
        return
    fact = item.members[0]
    said, words = _comment_sign(fact, proposal.dbc)
    verdict = None
    if evidence is not None:
        verdict = _verdict(proposal, evidence, item)
        proposal.sign = verdict
    sign = verdict.sign if verdict is not None and verdict.sign else said
    if sign < 0:
        item.scaling = Scaling(-item.scaling.scale, -item.scaling.offset, item.scaling.doubt)
        item.limits = (
            None if item.limits[1] is None else -item.limits[1],
            None if item.limits[0] is None else -item.limits[0],
        )
    if verdict is not None and verdict.sign:
        item.notes.append(f"sign by the log: {verdict.text}")
        if said and said != verdict.sign:
            item.doubts.append(f"its comment says otherwise about the sign ({words!r})")
    elif said:
        item.notes.append(f"sign by its comment ({words!r})")
        if verdict is not None:
            item.notes.append(f"the log does not prove the sign: {verdict.text}")
    else:
        why = verdict.text if verdict is not None else "nothing in the DBC tells it (--log may)"
        item.doubts.append(
            f"its sign is not known: {why}. OpenBMS wants charging positive; if it is not, scale is -1"
        )


def _verdict(proposal: Proposal, evidence: LogEvidence, item: Item) -> SignVerdict | None:
    times, current = evidence.physical(item.members[0])
    best: SignVerdict | None = None
    for quantity in ("string_voltage_v", "cell_voltage_v"):
        other = proposal.item(quantity)
        if other is None:
            continue
        volts_t, volts = evidence.physical(other.members[0])
        verdict = sign_by_voltage(
            times, current * item.scaling.scale, volts_t, volts * other.scaling.scale + other.scaling.offset
        )
        if verdict.sign:
            return verdict
        best = best or verdict
    soc = proposal.item("reported_soc")
    if soc is not None:
        soc_t, share = evidence.physical(soc.members[0])
        verdict = sign_by_charge(times, current, soc_t, share * soc.scaling.scale)
        if verdict.sign:
            return verdict
    return best


def arrange(proposal: Proposal) -> None:
    """Number the sensors, and say what is missing; again after an item was taken out."""
    for quantity, sentence in _NEEDED.items():
        if proposal.item(quantity) is None:
            proposal.missing[quantity] = sentence
    mapped = {item.quantity for item in proposal.items}
    proposal.ages = {quantity: age for quantity, age in proposal.ages.items() if quantity in mapped}
    cells = proposal.item("cell_voltage_v")
    proposal.cells = cells.size if cells is not None else 0
    at = 0
    for item in proposal.items:
        if item.quantity == "temperature_degc":
            item.first_index = at
            at += item.size
    names: dict[str, int] = {}
    proposal.sensors.clear()
    for item in proposal.items:
        if item.quantity != "temperature_degc":
            continue
        base = {"cell": "cell", "ambient": "ambient"}.get(item.location, item.location or "sensor")
        names[base] = names.get(base, 0) + 1
        name = base if names[base] == 1 else f"{base}_{names[base]}"
        proposal.sensors.append(
            Sensor(f"{name}_{{i}}" if item.size > 1 else name, item.location or "other", item.size)
        )


def _timing(proposal: Proposal, evidence: LogEvidence | None) -> None:
    """Maximum ages from the periods."""
    usual = {
        "cell_voltage_v": 5.0,
        "redundant_cell_voltage_v": 5.0,
        "cell_balancing": 10.0,
        "temperature_degc": 10.0,
        "reported_soc": 5.0,
        "insulation_resistance_ohm": 10.0,
    }
    fastest = math.inf
    for item in proposal.items:
        periods = [period for fact in item.members if (period := _period(fact, evidence)) is not None]
        if len(periods) == len(item.members):
            heard = evidence is not None and all(evidence.traffic(fact.message) for fact in item.members)
            period, where = max(periods), "log" if heard else "DBC"
            fastest = min(fastest, min(periods))
            age = max(0.2, _rounded(3.3 * period))
            told = f"every {period:.3g} s by the {where}"
        elif periods:
            period = max(periods)
            age, told = max(0.2, _rounded(3.3 * period)), f"every {period:.3g} s as far as it is known"
        else:
            age = usual.get(item.quantity, 1.0)
            told = "a guess: neither DBC nor log tells its cycle"
            if evidence is None or any(evidence.traffic(fact.message) for fact in item.members):
                item.notes.append("its cycle is not known: measurement.max_age_s is a guess")
        before = proposal.ages.get(item.quantity)
        if before is None or age > before[0]:
            proposal.ages[item.quantity] = (age, told)
    if math.isfinite(fastest):
        proposal.silent_after_s = max(0.5, min(5.0, _rounded(10.0 * fastest)))


def _period(fact: Fact, evidence: LogEvidence | None) -> float | None:
    if evidence is not None and evidence.traffic(fact.message) is not None:
        return evidence.period(fact)
    if fact.selection:
        return None
    return fact.period_s


def _integrity(proposal: Proposal, evidence: LogEvidence | None) -> None:
    messages: dict[str, Any] = {}
    for item in proposal.items:
        for fact in item.members:
            messages.setdefault(fact.message.name, fact.message)
    for message in messages.values():
        traffic = None if evidence is None else evidence.traffic(message)
        frames = None
        if evidence is not None:
            frames = [] if traffic is None else [data for _, data in traffic.heads]
        found = find_integrity(message, frames)
        if found is not None:
            proposal.integrity.append(found)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _overall(proposal: Proposal, evidence: LogEvidence | None) -> None:
    """Say what concerns the whole."""
    notes = proposal.notes
    messages = {fact.message.name: fact.message for item in proposal.items for fact in item.members}
    proposal.fd = any(message.is_fd for message in messages.values())
    if proposal.fd:
        notes.append("the bus is CAN FD: the interface must be one with CAN FD")
    long = {
        name: message for name, message in messages.items() if message.length > (64 if message.is_fd else 8)
    }
    if transported := [name for name, message in long.items() if message.protocol == "j1939"]:
        notes.append(
            f"{_some(transported)}: longer than a frame, so sent by the transport protocol of J1939, which "
            "is not "
            "assembled: these values will never come"
        )
    if asked := [name for name in long if name not in transported]:
        notes.append(
            f"{_some(asked)}: longer than a CAN frame and not marked as CAN FD: an answer that the device "
            "gives only "
            "when it is asked needs device.polls; else correct the DBC (VFrameFormat)"
        )
    current = proposal.item("string_current_a")
    if current is not None:
        fact = current.members[0]
        rows = [
            other
            for other in current.alternatives
            if re.sub(r"\d+", "#", other) == re.sub(r"\d+", "#", fact.full_name)
        ]
        if rows and re.search(r"\d", fact.name):
            current.doubts.append(
                f"{', '.join([fact.full_name, *rows])} look like several strings: for all of them set "
                "topology.strings and "
                "map each"
            )
    if evidence is None:
        return
    voltage, cells = proposal.item("string_voltage_v"), proposal.item("cell_voltage_v")
    if voltage is not None and cells is not None:
        seen = evidence.median(voltage.members[0])
        medians = [evidence.median(fact) for fact in cells.members]
        if seen is not None and all(value is not None for value in medians):
            total = sum(value * cells.scaling.scale for value in medians if value is not None)
            pack = seen * voltage.scaling.scale
            if pack > 0 and not 0.95 <= total / pack <= 1.05:
                text = (
                    f"the sum of the cells is {total:.4g} V, the pack voltage {pack:.4g} V (medians of "
                    "the log)"
                )
                cells.doubts.append(text)
                voltage.doubts.append(text)
            elif pack > 0:
                for item in (cells, voltage):
                    item.doubts = [doubt for doubt in item.doubts if not doubt.startswith("its name")]
                cells.notes.append(
                    f"sum of the cells {total:.4g} V, pack voltage {pack:.4g} V (medians of the log)"
                )
