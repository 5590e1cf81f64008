"""The pack file of a proposal, as text with comments: what is sure, what is not and why, what else it could
be.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass

from openbms_core.chemistry import USUAL_LIMITS
from openbms_drivers.mapping.integrity import Found
from openbms_drivers.mapping.proposal import Item, Proposal
from openbms_drivers.mapping.rows import Entry

__all__ = ["Header", "pack_text"]

_WIDTH = 128
_TITLES = {
    "cell_voltage_v": "Cell voltages",
    "redundant_cell_voltage_v": "A second measurement of the cell voltages",
    "cell_balancing": "Bleeding of the cells",
    "temperature_degc": "Temperatures",
    "string_current_a": "Pack current; positive charges",
    "string_voltage_v": "Pack voltage",
    "link_voltage_v": "Voltage behind the contactors",
    "supply_voltage_v": "Low-voltage supply",
    "reported_soc": "State of charge of the device",
    "insulation_resistance_ohm": "Insulation resistance",
    "interlock": "Interlock",
}
_TRIPLES = (
    "cell_voltage_max_v", "cell_voltage_min_v", "charge_current_max_a", "discharge_current_max_a",
    "charge_temperature_max_degc", "charge_temperature_min_degc", "discharge_temperature_max_degc",
    "discharge_temperature_min_degc",
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What is not in a DBC.

    Attributes
    ----------
    name : str
        Of the pack.
    dbc : str
        As the pack file names it.
    device : str
        ``generic`` or a device folder.
    log : str
        Name of the log that weighed in; empty without one.
    cell, chemistry : str
        Cell file and its chemistry; empty where unknown.
    """

    name: str
    dbc: str
    device: str = "generic"
    log: str = ""
    cell: str = ""
    chemistry: str = ""


def pack_text(proposal: Proposal, header: Header) -> str:
    """Write the pack file.

    Parameters
    ----------
    proposal : Proposal
        What was found.
    header : Header
        What was not in the DBC.

    Returns
    -------
    str
        YAML. Keys that nobody but a person can know stand in it as ``# TODO`` comments: the loader names
        each.
    """
    parts = [
        _comment(
            f"Proposed by `openbms can map` from {proposal.dbc.path.name}"
            + (f" and the log {header.log}" if header.log else "")
            + ". Each entry says whether it is sure, and why not. Look at everything marked 'unsure', fill "
            "in what is "
            "marked TODO, then run `openbms can check` with a log of a drive and a charge."
        ),
        "schema_version: 1",
        f"name: {_quoted(header.name)}",
        f"serial: {_quoted(header.name.upper() + '-1')}   # any text that tells this pack from others of its "
        "kind",
        _cell(header),
        "",
        _topology(proposal),
        "",
        _limits(header),
        "",
        _contactors(),
        "",
        _measurement(proposal),
        "",
        _device(proposal, header),
    ]
    return "\n".join(parts) + "\n"


def _comment(text: str, indent: str = "") -> str:
    lines = textwrap.wrap(" ".join(text.split()), _WIDTH - len(indent) - 2, break_long_words=False)
    return "\n".join(f"{indent}# {line}" for line in lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _cell(header: Header) -> str:
    if header.cell:
        return f"cell: {_quoted(header.cell)}"
    return (
        "# TODO cell: name of a shipped cell file, or path of your own (docs/how-to/add-a-cell.md); not "
        "in a DBC"
    )


def _topology(proposal: Proposal) -> str:
    lines = ["topology:", f"  strings: {proposal.strings}"]
    if proposal.cells:
        lines.append(
            f"  cells_in_series: {proposal.cells}   # cells in the array of the DBC; a smaller pack uses "
            "fewer"
        )
    else:
        lines.append("  # TODO cells_in_series: the DBC has no array of cells that tells it")
    lines.append("  cells_in_parallel: 1   # unsure: not in a DBC")
    if proposal.sensors:
        lines.append("  # Which cells each sensor is nearest to (first_cell, cells_each) is not in a DBC.")
        lines.append("  temperature_sensors:")
        for sensor in proposal.sensors:
            count = f", count: {sensor.count}" if sensor.count > 1 else ""
            lines.append(f'    - {{name: "{sensor.name}", location: {sensor.location}{count}}}')
    return "\n".join(lines)


def _limits(header: Header) -> str:
    usual = USUAL_LIMITS.get(header.chemistry, {})
    lines = ["# Magnitudes; operating: derated beyond; recommended: nothing allowed beyond; safety: a fault."]
    # without a single value the key itself is a comment: the loader then names it
    todo = "# " if usual else "#   "
    lines.append(
        "limits:"
        if usual
        else "# TODO limits: from the data sheet of the cell and of the pack, each of these"
    )
    for name in _TRIPLES:
        triple = usual.get(name)
        if triple is None:
            lines.append(f"  {todo}{name}: {{operating: …, recommended: …, safety: …}}")
        else:
            lines.append(
                f"  {name}: {triple.yaml}   # usual for {header.chemistry.upper()}: compare with the data "
                "sheet"
            )
    return "\n".join(
        [
            *lines,
            f"  {todo}current_deadband_a: …   # below it no current flows, as far as its sensor can tell",
            f"  {todo}limp_home: {{charge_current_a: …, discharge_current_a: …, shutdown_after_s: …}}",
        ]
    )


def _contactors() -> str:
    return "\n".join(
        [
            _comment(
                "none: OpenBMS watches and moves nothing. Who moves the contactors is not in a DBC: set "
                "openbms or device "
                "and add device.commands where OpenBMS is to do it or to ask for it "
                "(docs/how-to/add-a-device.md)."
            ),
            "contactors:",
            "  authority: none",
            "  # TODO break_current_a: what the contactors break without wear",
            "  opening_deadline_s: 2.0",
        ]
    )


def _measurement(proposal: Proposal) -> str:
    lines = ["measurement:", "  scan_period_s: 0.1"]
    if not proposal.ages:
        return "\n".join([*lines, "  max_age_s: {}"])
    lines.append("  max_age_s:   # 3.3 periods: room for two lost frames")
    for quantity, (age_s, why) in proposal.ages.items():
        unsure = "unsure: " if why.startswith("a guess") else ""
        lines.append(f"    {quantity}: {age_s:g}   # {unsure}{why}")
    return "\n".join(lines)


def _device(proposal: Proposal, header: Header) -> str:
    lines = ["device:", f"  type: {header.device}", f"  dbc: {_quoted(header.dbc)}"]
    rate = _bit_rate(proposal)
    if rate:
        lines.append(f"  bitrate_bit_per_s: {rate}   # by the DBC")
    else:
        lines.append("  bitrate_bit_per_s: 500000   # unsure: not in this DBC")
    lines.append(f"  silent_after_s: {proposal.silent_after_s:g}")
    lines += [
        _comment(f"note: {note}", "  ")
        for note in (*proposal.notes, *(f"DBC: {text}" for text in proposal.dbc.repairs))
    ]
    lines += _integrity(proposal.integrity)
    lines.append("  signals:")
    titled = set()
    for item in proposal.items:
        if item.quantity not in titled:
            titled.add(item.quantity)
            lines.append(f"    # ---- {_TITLES.get(item.quantity, item.quantity)}")
        lines += _item(item)
    if not proposal.items:
        lines.append(
            "    # TODO: nothing in this DBC looks like a battery's value; map by hand, or name another DBC"
        )
    lines += [_comment(f"missing: {text}", "    ") for text in proposal.missing.values()]
    return "\n".join(lines)


def _bit_rate(proposal: Proposal) -> int | None:
    for bus in proposal.dbc.database.buses or ():
        if bus.baudrate:
            return int(bus.baudrate)
    dbc = getattr(proposal.dbc.database, "dbc", None)
    attribute = (dbc.attributes or {}).get("Baudrate") if dbc is not None else None
    value = getattr(attribute, "value", None)
    return int(value) if isinstance(value, (int, float)) and 10_000 <= value <= 8_000_000 else None


def _integrity(found: list[Found]) -> list[str]:
    lines: list[str] = []
    for row in found:
        parts = []
        if row.checksum and row.kind is not None:
            parts.append(f"checksum: {{signal: {row.checksum}, {row.kind.yaml}}}")
        if row.counter:
            parts.append(f"counter: {{signal: {row.counter}, modulo: {row.modulo}}}")
        notes = []
        if row.checksum and row.kind is None:
            notes.append(f"checksum {row.message}.{row.checksum} is not checked: {row.checksum_note}")
        elif row.checksum:
            notes.append(f"sure: checksum {row.message}.{row.checksum}: {row.checksum_note}")
        if row.counter_doubt:
            notes.append(f"unsure: counter of {row.message}: {row.counter_doubt}")
        lines += [_comment(note, "    ") for note in notes]
        if parts:
            lines.append(f"    - {{message: {row.message}, {', '.join(parts)}}}")
    entries = any(line.lstrip().startswith("- ") for line in lines)
    return (
        (["  integrity:", *lines] if entries else [line.replace("    #", "  #", 1) for line in lines])
        if lines
        else []
    )


def _item(item: Item) -> list[str]:
    lines = []
    if item.doubts:
        lines += [_comment(f"unsure: {'; '.join(item.doubts)}", "    ")]
    lines.append(_comment(f"{'why' if item.doubts else 'sure'}: {item.why or 'by its name'}", "    "))
    if item.notes:
        lines.append(_comment("; ".join(item.notes), "    "))
    if item.alternatives:
        lines.append(_comment(f"else: {', '.join(item.alternatives)}", "    "))
    return [*lines, *(f"    - {_entry(item, entry)}" for entry in item.entries)]


def _number(value: float) -> str:
    text = f"{value:.10g}"
    return text if any(mark in text for mark in ".en") else f"{text}.0"


def _name(text: str) -> str:
    return (
        _quoted(text)
        if any(mark in text for mark in "{}:#,[]&*!|>'\"%@` ") or not text[:1].isalpha()
        else text
    )


def _entry(item: Item, entry: Entry) -> str:
    parts = [f"to: {item.quantity}", f"message: {_name(entry.message)}", f"signal: {_name(entry.signal)}"]
    if entry.repeat:
        rows = ", ".join(f"{key}: [{first}, {last}]" for key, (first, last) in entry.repeat.items())
        parts.append(f"repeat: {{{rows}}}")
    if entry.selected_by:
        parts.append(
            "selected_by: {"
            + ", ".join(f"{key}: {_name(name)}" for key, name in entry.selected_by.items())
            + "}"
        )
    first_index = item.first_index + entry.first_index
    if first_index:
        parts.append(f"first_index: {first_index}")
    if item.scaling.scale != 1.0:
        parts.append(f"scale: {_number(item.scaling.scale)}")
    if item.scaling.offset:
        parts.append(f"offset: {_number(item.scaling.offset)}")
    if item.codes:
        parts.append(f"not_available_raw: [{', '.join(str(code) for code in item.codes)}]")
    if entry.valid:
        parts.append(f"valid_signal: {_name(entry.valid)}")
        if item.valid_when is not None:
            parts.append(f"valid_when: {item.valid_when}")
    if item.true_when is not None:
        parts.append(f"true_when: [{', '.join(str(value) for value in item.true_when)}]")
    for key, value in zip(("minimum", "maximum"), item.limits, strict=True):
        if value is not None:
            parts.append(f"{key}: {_number(value)}")
    return "{" + ", ".join(parts) + "}"
