"""Proposals for DBCs of every kind of multiplexing, unit and byte order, without and with a log."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from synthetic import RESISTANCE_OHM, current_a, dbc, evidence, frames

from openbms_core.config_file import ConfigError
from openbms_drivers.frame import Frame
from openbms_drivers.mapping.draft import load_draft
from openbms_drivers.mapping.pack_text import Header
from openbms_drivers.mapping.proposal import Proposal
from openbms_drivers.mapping.propose import propose
from openbms_drivers.mapping.settle import settle
from openbms_drivers.signal_decoder import SignalDecoder


def _settled(tmp_path: Path, proposal: Proposal, **header: str) -> tuple[SignalDecoder, list[str]]:
    """Give the decoder of the pack file as the driver makes it, and what the loader still demands."""
    text, demands = settle(proposal, Header(name="proposed", dbc=str(proposal.dbc.path), **header))
    path = tmp_path / "proposed.yaml"
    path.write_text(text, encoding="utf-8")
    return SignalDecoder(load_draft(path)[0]), demands


EXPECTED = {
    "plain_german": {
        "cell_voltage_v": ("BMS_Zellspannungen1.Zellspannung01", 16, 1e-3, 0.0),
        "temperature_degc": ("BMS_Temperaturen.TempZelle1", 4, 1.0, 0.0),
        # its comment says that positive discharges
        "string_current_a": ("BMS_Status.BatStrom", 1, -1.0, 0.0),
        "string_voltage_v": ("BMS_Status.BatSpannung", 1, 1.0, 0.0),
        "reported_soc": ("BMS_Status.Ladezustand", 1, 0.01, 0.0),
        "reported_charge_current_limit_a": ("BMS_Grenzen.MaxLadestrom", 1, 1.0, 0.0),
        "reported_discharge_current_limit_a": ("BMS_Grenzen.MaxEntladestrom", 1, 1.0, 0.0),
        "insulation_resistance_ohm": ("BMS_Grenzen.Isolationswiderstand", 1, 1000.0, 0.0),
    },
    "simple_mux_big_endian": {
        "cell_voltage_v": ("BMS_CellVoltages.CellVoltage_000", 24, 1.0, 0.0),
        "temperature_degc": ("BMS_CellTemps.CellTemp_00", 12, 1.0, 0.0),
        "string_current_a": ("BMS_Pack.PackCurrent", 1, 1.0, 0.0),
        "string_voltage_v": ("BMS_Pack.PackVoltage", 1, 1.0, 0.0),
        "reported_soc": ("BMS_Pack.SOC", 1, 0.01, 0.0),
        "reported_charge_current_limit_a": ("BMS_Limits.CCL", 1, 1.0, 0.0),
        "reported_discharge_current_limit_a": ("BMS_Limits.DCL", 1, 1.0, 0.0),
        "reported_cell_voltage_minimum_v": ("BMS_Limits.MinCellVoltage", 1, 1.0, 0.0),
        "reported_cell_voltage_maximum_v": ("BMS_Limits.MaxCellVoltage", 1, 1.0, 0.0),
        "interlock": ("BMS_Contactors.HVIL_Status", 1, 1.0, 0.0),
        "contactor_positive": ("BMS_Contactors.ContactorPositiveState", 1, 1.0, 0.0),
        "contactor_negative": ("BMS_Contactors.ContactorNegativeState", 1, 1.0, 0.0),
        "supply_voltage_v": ("BMS_Contactors.SupplyVoltage12V", 1, 1.0, 0.0),
    },
    "extended_mux": {
        "cell_voltage_v": ("AMS_Cells.Cell_V1", 36, 1.0, 0.0),
        "temperature_degc": ("AMS_Temps.S0_H0_Temp0", 24, 1.0, 0.0),
        "string_current_a": ("AMS_Summary.accu_current", 1, 1e-3, 0.0),
        "string_voltage_v": ("AMS_Summary.accu_voltage", 1, 1.0, 0.0),
        "reported_soc": ("AMS_Summary.state_of_charge", 1, 1.0, 0.0),
    },
    "can_fd": {
        "cell_voltage_v": ("BMC_CellVolt_0.Cell1Volt", 60, 1e-3, 0.0),
        "temperature_degc": ("BMC_Main.ModuleTemp_0", 8, 1.0, -273.15),
        "string_current_a": ("BMC_Main.HvBatCurr", 1, 1.0, 0.0),
        "string_voltage_v": ("BMC_Main.HvBatVolt", 1, 1.0, 0.0),
        "link_voltage_v": ("BMC_Main.HvLinkVolt", 1, 1.0, 0.0),
        "reported_soc": ("BMC_Main.HvBatSoc", 1, 0.01, 0.0),
    },
    "j1939": {
        "cell_voltage_v": ("ESS_CellVoltages_0.CellVoltage1", 16, 1.0, 0.0),
        "temperature_degc": ("ESS_Temperatures.CellTemperature1", 6, 1.0, 0.0),
        "string_current_a": ("ESS_Status_1.BatteryCurrent", 1, 1.0, 0.0),
        "reported_soc": ("ESS_Status_1.SOC", 1, 0.01, 0.0),
        "reported_discharge_current_limit_a": ("ESS_Status_2.MaxAllowedDischargeCurrent", 1, 1.0, 0.0),
        "reported_temperature_minimum_degc": ("ESS_Status_2.LowestCellTemperature", 1, 1.0, 0.0),
    },
    "index_in_frame": {
        "cell_voltage_v": ("MSGID_0X36.CellVoltage", 180, 1.0, 0.0),
        "string_current_a": ("MSGID_0X3B6.Pack_Current", 1, 1.0, 0.0),
        "string_voltage_v": ("MSGID_0X3B6.Pack_Inst_Voltage", 1, 1.0, 0.0),
        "reported_soc": ("MSGID_0X3B6.Pack_SOC", 1, 0.01, 0.0),
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_dbc_alone(name: str, tmp_path: Path) -> None:
    """Signal, number, scale and offset of every quantity; the driver takes the file, the loader wants the
    rest."""
    proposal = propose(dbc(name))
    for quantity, (first, count, scale, offset) in EXPECTED[name].items():
        item = proposal.item(quantity)
        assert item is not None, quantity
        found = (item.members[0].full_name, len(item.members), item.scaling.scale, item.scaling.offset)
        assert found == (first, count, pytest.approx(scale), pytest.approx(offset)), quantity
    decoder, demands = _settled(tmp_path, proposal)
    assert demands == ["cell", "limits", "contactors.break_current_a"]
    assert len([slot for slot in range(decoder.table.count) if decoder.table.fitted(slot)]) >= 20


def test_usual_limits_of_a_cell(tmp_path: Path) -> None:
    """With a cell file the loader demands only what no cell can tell."""
    _, demands = _settled(tmp_path, propose(dbc("can_fd")), cell="lg_hg2", chemistry="nmc")
    assert demands == [
        "limits.charge_current_max_a", "limits.discharge_current_max_a", "limits.current_deadband_a",
        "limits.limp_home", "contactors.break_current_a",
    ]  # fmt: skip


def test_order_is_the_order_of_the_numbers(tmp_path: Path) -> None:
    """Cell k of the row is fed by the signal with the number k, whatever multiplexes it."""

    def value(name: str, at_s: float) -> float:
        return 3.0 + int(name[-3:]) / 100.0 if name.startswith("CellVoltage_") else 0.0

    decoder, _ = _settled(tmp_path, propose(dbc("simple_mux_big_endian")))
    pages = {"BMS_CellVoltages": [{"CellGroup": page} for page in range(8)]}
    for frame in frames("simple_mux_big_endian", value, duration_s=0.08, step_s=0.01, pages=pages):
        decoder.feed(frame)
    cells = decoder.table.snapshot(0.08).values[decoder.table.slots("cell_voltage_v")]
    assert cells == pytest.approx([3.0 + k / 100.0 for k in range(24)])


def _in_turn(selector: str, values: range, signals: dict[str, int]) -> list[Frame]:
    """Frames in which each signal carries 3 V and a millivolt for each member before it."""
    name, message_name = (
        ("extended_mux", "AMS_Cells") if selector == "Page" else ("index_in_frame", "MSGID_0X36")
    )
    message = dbc(name).database.get_message_by_name(message_name)
    sent = []
    for number, page in enumerate(values):
        bits = {signal.name: 0 for signal in message.signals} | {selector: page}
        for signal, at in signals.items():
            volts = 3.0 + (number * len(signals) + at) * 1e-3
            bits[signal] = round(volts / float(message.get_signal_by_name(signal).conversion.scale))
        data = message.encode(bits, scaling=False, padding=True, strict=False)
        sent.append(Frame(message.frame_id, data, 0, 1.0, 1.0))
    return sent


@pytest.mark.parametrize(
    ("name", "selector", "values", "signals", "count"),
    [
        ("extended_mux", "Page", range(12), {"Cell_V1": 0, "Cell_V2": 1, "Cell_V3": 2}, 36),
        ("index_in_frame", "CellId", range(180), {"CellVoltage": 0}, 180),
    ],
)
def test_one_signal_for_many_cells(
    tmp_path: Path, name: str, selector: str, values: range, signals: dict[str, int], count: int
) -> None:
    """Signals that stand for another cell in each frame come out in the order of the frames' numbers."""
    decoder, _ = _settled(tmp_path, propose(dbc(name)))
    for frame in _in_turn(selector, values, signals):
        decoder.feed(frame)
    cells = decoder.table.snapshot(1.0).values[decoder.table.slots("cell_voltage_v")]
    assert cells == pytest.approx([3.0 + k * 1e-3 for k in range(count)], abs=1e-4)


def _pack(name: str, at_s: float, sign: float = 1.0) -> float:
    """A pack of 24 cells: current of the drive, voltage behind a resistance."""
    current = current_a(at_s)
    if name.startswith("CellVoltage_"):
        return 3.7 + current * RESISTANCE_OHM / 24
    return {
        "PackCurrent": sign * current, "PackVoltage": 24 * 3.7 + current * RESISTANCE_OHM, "SOC": 55.0,
        "MaxCellVoltage": 3.71, "MinCellVoltage": 3.69, "SupplyVoltage12V": 12.4,
        "ContactorPositiveState": 1.0, "ContactorNegativeState": 2.0, "HVIL_Status": 1.0,
    }.get(name, 25.0 if name.startswith("CellTemp") else 10.0)  # fmt: skip


_PAGES = {
    "BMS_CellVoltages": [{"CellGroup": page} for page in range(8)],
    "BMS_CellTemps": [{"TempGroup": page} for page in range(2)],
}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_log_tells_the_sign(sign: float) -> None:
    """The sign of the current follows the reaction of the voltage, and the range turns with it."""
    log = evidence(
        "simple_mux_big_endian", frames("simple_mux_big_endian", lambda n, t: _pack(n, t, sign), pages=_PAGES)
    )
    proposal = propose(dbc("simple_mux_big_endian"), log)
    current = proposal.item("string_current_a")
    assert current is not None and current.scaling.scale == sign and current.sure
    assert proposal.sign is not None and proposal.sign.sign == sign
    assert current.limits[0] is not None and current.limits[0] < -1000 < 1000 < (current.limits[1] or 0)


def test_log_without_changes_leaves_the_sign_open() -> None:
    """A pack at rest proves nothing, and that is said."""
    rest = frames("simple_mux_big_endian", lambda n, t: _pack(n, 8.0), pages=_PAGES, duration_s=30.0)
    proposal = propose(dbc("simple_mux_big_endian"), evidence("simple_mux_big_endian", rest))
    current = proposal.item("string_current_a")
    assert current is not None and not current.sure
    assert "its sign is not known: the current hardly changes" in " ".join(current.doubts)


def test_log_decides_the_scale() -> None:
    """A declared unit that the values contradict is overruled, with a doubt."""
    cells = [fact.name for fact in propose(dbc("plain_german")).items[0].members]
    tenfold = frames("plain_german", lambda n, t: 37_000.0 if n in cells else 30.0, duration_s=5.0)
    item = propose(dbc("plain_german"), evidence("plain_german", tenfold)).item("cell_voltage_v")
    assert item is not None and item.scaling.scale == pytest.approx(1e-4)
    assert "makes sense" in " ".join(item.doubts)


def test_codes_for_no_value() -> None:
    """From value tables, comments, J1939 and declared ranges."""
    muxed, j1939 = propose(dbc("simple_mux_big_endian")), propose(dbc("j1939"))
    codes = {item.quantity: item.codes for item in muxed.items}
    assert codes["string_voltage_v"] == (65534, 65535)
    assert codes["string_current_a"] == (65535,)
    assert codes["cell_voltage_v"] == (65535,)
    assert {item.quantity: item.codes for item in j1939.items}["cell_voltage_v"] == (0xFFFF, 0xFE00)
    assert {item.quantity: item.codes for item in j1939.items}["reported_soc"] == (0xFF, 0xFE)


def test_values_that_mean_closed() -> None:
    """Value tables say which raw value is closed, signal by signal."""
    items = {item.quantity: item for item in propose(dbc("simple_mux_big_endian")).items}
    assert items["contactor_positive"].true_when is None and items["contactor_positive"].sure
    assert items["contactor_negative"].true_when == (2,)


def test_periods_become_ages() -> None:
    """A cell that comes every eighth frame of 10 ms is stale after 3.3 rounds; the log's period goes
    first."""
    alone = propose(dbc("simple_mux_big_endian"))
    assert alone.ages["cell_voltage_v"][0] == pytest.approx(0.27, abs=0.01)
    log = evidence(
        "simple_mux_big_endian", frames("simple_mux_big_endian", _pack, pages=_PAGES, duration_s=20.0)
    )
    assert propose(dbc("simple_mux_big_endian"), log).ages["cell_voltage_v"][0] == pytest.approx(2.7, abs=0.1)


def test_counter_is_seen_counting() -> None:
    """A counter that counts to 14 and starts again is proposed; one that stands still is left out."""
    counting = evidence(
        "simple_mux_big_endian", frames("simple_mux_big_endian", _pack, pages=_PAGES, duration_s=20.0)
    )
    found = {row.message: row for row in propose(dbc("simple_mux_big_endian"), counting).integrity}
    assert (found["BMS_Pack"].counter, found["BMS_Pack"].modulo, found["BMS_Pack"].counter_doubt) == (
        "AliveCounter",
        15,
        "",
    )
    still = (frame for frame in frames("simple_mux_big_endian", _pack, pages=_PAGES, duration_s=20.0))
    frozen = (f._replace(data=f.data[:6] + b"\0\0") if f.identifier == 544 else f for f in still)
    found = {
        row.message: row
        for row in propose(dbc("simple_mux_big_endian"), evidence("simple_mux_big_endian", frozen)).integrity
    }
    assert found["BMS_Pack"].counter is None and "counts by one at 0 of" in found["BMS_Pack"].counter_doubt


def test_message_that_is_not_in_the_log_is_doubted() -> None:
    """What the log lacks is kept, with a doubt, where nothing else fits."""
    source = (
        f
        for f in frames("simple_mux_big_endian", _pack, pages=_PAGES, duration_s=10.0)
        if f.identifier != 560
    )
    item = propose(dbc("simple_mux_big_endian"), evidence("simple_mux_big_endian", source)).item(
        "reported_charge_current_limit_a"
    )
    assert item is None or not item.sure


def test_row_of_unknown_length_is_said_and_not_invented(tmp_path: Path) -> None:
    """An index without a range: nothing tells how many cells there are, but a log does."""
    text = dbc("index_in_frame").text.replace("[0|179]", "[0|0]")
    path = tmp_path / "index.dbc"
    path.write_text(text)
    from openbms_drivers.dbc_file import read_dbc
    from openbms_drivers.mapping.evidence import LogEvidence

    alone = propose(read_dbc(path))
    assert alone.item("cell_voltage_v") is None
    assert any("how many there are" in note for note in alone.notes)
    log = LogEvidence(read_dbc(path).database.messages)
    log.run(_in_turn("CellId", range(1, 29), {"CellVoltage": 0}) * 3)
    item = propose(read_dbc(path), log).item("cell_voltage_v")
    assert item is not None and len(item.members) == 28
    assert item.entries[0].repeat == {"p": (1, 28)} and item.entries[0].selected_by == {"p": "CellId"}


def test_nothing_of_a_battery_is_one_sentence() -> None:
    """The DBC of another bus is refused with what was looked for."""
    with pytest.raises(ConfigError, match=r"no_battery\.dbc: none of its 5 signals in 2 messages looks like"):
        settle(propose(dbc("no_battery")), Header(name="x", dbc="x"))


def test_what_the_driver_refuses_is_left_out(tmp_path: Path) -> None:
    """Signals that share bits: one goes, with the driver's sentence in the notes; the others stay."""
    text = dbc("plain_german").text.replace("BatSpannung : 16|16", "BatSpannung : 8|16")
    path = tmp_path / "overlap.dbc"
    path.write_text(text)
    from openbms_drivers.dbc_file import read_dbc

    proposal = propose(read_dbc(path))
    _settled(tmp_path, proposal)
    kept = {item.quantity for item in proposal.items}
    assert len(kept & {"string_current_a", "string_voltage_v"}) == 1
    assert "cell_voltage_v" in kept
    assert any("share bit 8 to 15" in note for note in proposal.notes)


def test_nan_is_not_taken_for_a_value() -> None:
    """All bits one where the DBC declares less: a code, not a voltage."""
    source = frames(
        "simple_mux_big_endian",
        lambda n, t: math.nan if n == "PackVoltage" and t % 1.0 < 0.35 else _pack(n, t),
        pages=_PAGES,
    )
    item = propose(dbc("simple_mux_big_endian"), evidence("simple_mux_big_endian", source)).item(
        "string_voltage_v"
    )
    assert item is not None and 65535 in item.codes


@pytest.mark.parametrize("absent", [0.0, math.nan])
def test_cells_that_are_not_fitted_are_left_out(tmp_path: Path, absent: float) -> None:
    """The DBC has room for 24 cells, the pack has 18: the others are zero, or have the code for no value."""

    def value(name: str, at_s: float) -> float:
        if name.startswith("CellVoltage_") and int(name[-3:]) >= 18:
            return absent
        return _pack(name, at_s)

    source = frames("simple_mux_big_endian", value, pages=_PAGES, duration_s=10.0)
    proposal = propose(dbc("simple_mux_big_endian"), evidence("simple_mux_big_endian", source))
    item = proposal.item("cell_voltage_v")
    assert item is not None and (proposal.cells, len(item.members)) == (18, 18)
    assert "6 more at the end of the row" in " ".join(item.doubts)
    assert item.entries[0].repeat == {"c": (0, 17)}
    _settled(tmp_path, proposal)
