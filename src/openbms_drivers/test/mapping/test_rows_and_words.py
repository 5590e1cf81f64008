"""Words of names, units, and rows of signals written with repeat."""

from __future__ import annotations

import string

import cantools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.pack_device import SignalMap
from openbms_drivers.mapping.arrays import find_arrays
from openbms_drivers.mapping.facts import collect_facts, unit_of
from openbms_drivers.mapping.roles import Rating
from openbms_drivers.mapping.rows import compress, find_rows
from openbms_drivers.mapping.words import concepts, words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BMS_UCellMax12", {"pack", "voltage", "cell", "maximum"}),
        ("zellspannung3", {"cell", "voltage"}),
        ("Batteriestrom", {"pack", "current"}),
        ("tension_cellule_4", {"voltage", "cell"}),
        ("DianChiZongDianYa", {"pack", "voltage"}),
        ("BMS_Max_DChg_Current", {"pack", "maximum", "discharge", "current"}),
        ("state_of_charge", {"soc"}),
        ("Pack_CCL", {"pack", "limit", "charge"}),
        ("HVIL_Status", {"interlock", "state"}),
        ("ANGLE_TRACK", set()),
    ],
)
def test_concepts(name: str, expected: set[str]) -> None:
    """Makers' abbreviations in several languages and spellings."""
    assert expected <= concepts(name), words(name)
    if not expected:
        assert not concepts(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mV", ("v", 1e-3)),
        ("0.1 V", ("v", 0.1)),
        ("Unit_Volt", ("v", 1.0)),
        ("_Volts", ("v", 1.0)),
        ("deg C", ("degc", 1.0)),
        ("°F", ("degf", 1.0)),
        ("kOhm", ("ohm", 1e3)),
        ("MOhm", ("ohm", 1e6)),
        ("%", ("%", 0.01)),
        ("rpm", None),
        ("", None),
    ],
)
def test_units(text: str, expected: tuple[str, float] | None) -> None:
    """Units as DBCs write them."""
    found = unit_of(text)
    assert found == (None if expected is None else (expected[0], pytest.approx(expected[1])))


def _database(names: list[tuple[str, str]]) -> list[object]:
    """Messages with one-byte signals of these names."""
    text = 'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: X\n\n'
    by_message: dict[str, list[str]] = {}
    for message, signal in names:
        by_message.setdefault(message, []).append(signal)
    for number, (message, signals) in enumerate(by_message.items()):
        text += f"BO_ {number + 1} {message}: 64 X\n"
        text += (
            "".join(f' SG_ {name} : {8 * at}|8@1+ (1,0) [0|255] "V" X\n' for at, name in enumerate(signals))
            + "\n"
        )
    return list(cantools.database.load_string(text, "dbc", strict=False).messages)


@settings(max_examples=60, deadline=None)
@given(
    modules=st.integers(1, 5),
    cells=st.integers(2, 9),
    first=st.integers(0, 3),
    width=st.sampled_from([0, 2, 3]),
    running=st.booleans(),
    stem=st.text(string.ascii_letters, min_size=1, max_size=8),
    data=st.data(),
)
def test_repeat_says_the_same_as_the_names(
    modules: int, cells: int, first: int, width: int, running: bool, stem: str, data: st.DataObject
) -> None:
    """Whatever the numbering, the expansion of the entries is the row, in the order of module and number."""
    names = []
    for module in range(modules):
        for cell in range(cells):
            number = first + cell + (module * cells if running else 0)
            names.append((f"M{module}_{stem}", f"{stem}_{number:0{width}d}" if width else f"{stem}_{number}"))
    shuffled = data.draw(st.permutations(names))
    rows = find_rows(collect_facts(_database(shuffled)))
    assert len(rows) == 1
    expanded = []
    for entry in compress(rows[0]):
        mapped = SignalMap.model_validate(
            {
                "to": "cell_voltage_v",
                "message": entry.message,
                "signal": entry.signal,
                "repeat": entry.repeat,
                "first_index": entry.first_index,
            }
        )
        expanded += [(index, message, signal) for index, message, signal, _ in mapped.expanded()]
    assert expanded == [(index, *name) for index, name in enumerate(names)]


def test_rows_that_differ_by_a_letter_are_one() -> None:
    """Three cells a group, named A, B and C: the letter runs fastest where it stands last."""
    names = [
        (f"Module_{m}", f"Voltage_{m}_{g}_{letter}") for m in (1, 2) for g in range(3) for letter in "ABC"
    ]
    facts = collect_facts(_database(names[::-1]))
    arrays = find_arrays(facts, lambda fact: Rating(9.0, "x"), 5.0, lambda fact: None)
    assert [fact.name for fact in arrays[0].members] == [name for _, name in names]
    assert any("differ by a letter (A, B, C)" in doubt for doubt in arrays[0].doubts)
    assert sum(entry.count for entry in arrays[0].entries) == len(names)
