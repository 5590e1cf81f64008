"""foxBMS 2: frames from the formulas of its layout, its own check of the state request, what protects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import openbms_drivers
from openbms_core.config_file import ConfigError
from openbms_core.pack import CommandSignal, LoadedPack, load_pack
from openbms_core.pack_checks import check_pack
from openbms_core.types import BmsStatus, ContactorCommand, PackMeasurement, State, Validity
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_drivers.signal_decoder import SignalDecoder

FOLDER = Path(openbms_drivers.__file__).parent / "devices" / "foxbms2"
OPEN = np.zeros(3, np.uint8)
STATE = BmsStatus(
    state=State.DRIVE, previous_state=State.PRECHARGE, time_in_state_s=1.0, requested_state=State.DRIVE,
    reason="", explanation="", contactor_command=OPEN, contactors_closed=False,
    zero_current_requested=False, opening_deadline_s=np.nan, charge_allowed=True, discharge_allowed=True,
    balancing_allowed=True, heating_allowed=True, cooling_required=False, inhibits=[], inhibit_texts=[],
    start_count=1, valid_for_s=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def pack() -> LoadedPack:
    return load_pack(FOLDER / "pack.yaml")


# ---- an encoder by the published layout: N is the frame as one big-endian number


def cells(group: int, millivolts: list[int], valid: int = 0b1111) -> bytes:
    """mV of cell i = (N >> (39 - 13 i)) & 0x1FFF; its flag is bit 4 + i of byte 1, and 1 means valid."""
    number = group << 56 | (valid << 4) << 48
    for i, value in enumerate(millivolts):
        number |= value << (39 - 13 * i)
    return number.to_bytes(8, "big")


def temperatures(group: int, degc: list[int], valid: int = 0b111111) -> bytes:
    return bytes([group, valid, *(value & 0xFF for value in degc)])


def signed(value: float, scale: float, bits: int) -> int:
    return round(value / scale) & ((1 << bits) - 1)


def big(*parts: tuple[int, int, int]) -> bytes:
    """Value, first bit as a DBC counts it (Motorola) and length of each part."""
    number = 0
    for value, start, length in parts:
        from_top = 8 * (start // 8) + 7 - start % 8
        number |= value << (64 - from_top - length)
    return number.to_bytes(8, "big")


def string_values(current_a: float, voltage_v: float) -> bytes:
    return big((signed(voltage_v, 0.01, 18), 4, 18), (signed(current_a, 0.01, 18), 18, 18))


def extremes(maximum_mv: int, minimum_mv: int) -> bytes:
    return big((maximum_mv, 37, 14), (minimum_mv, 53, 14))


class FoxBms:
    """A foxBMS on a bus, by its own periods; time is counted in its 10 ms steps."""

    def __init__(self, pack: LoadedPack) -> None:
        self.driver = PackDriver(pack, "virtual:fox")
        self.driver.start(0.0)
        self.driver.health.opened(0.0)
        self.now_s, self.groups = 0.0, 5
        self.cells_mv = [3700 + cell for cell in range(18)]
        self.current_a, self.connected, self.interlock_open = 0.0, 1, 0
        self.extremes: tuple[int, int] | None = None
        self.valid = [0b1111] * 5
        self.scan: PackMeasurement | None = None
        self._step = 0

    def run(self, steps: int) -> PackMeasurement:
        for _ in range(steps):
            self._step += 1
            self.now_s = 0.01 * self._step
            if self._step % 10 == 0:
                self._cycle(self._step // 10)
        assert self.scan is not None
        return self.scan

    def _send(self, identifier: int, data: bytes) -> None:
        scan = self.driver.receive(Frame(identifier, data, 0, self.now_s, self.now_s))
        self.scan = scan or self.scan

    def _cycle(self, number: int) -> None:
        group = number % self.groups
        four = self.cells_mv[4 * group : 4 * group + 4]
        self._send(0x250, cells(group, four, self.valid[group]))
        if number % 2 == 0:
            self._send(0x260, temperatures(number // 2 % 2, [20, -15, 22, 23, 24, 25]))
        highest, lowest = self.extremes or (max(self.cells_mv), min(self.cells_mv))
        self._send(0x231, extremes(highest, lowest))
        self._send(0x230, big((25, 47, 8), (-15 & 0xFF, 39, 8)))
        self._send(0x220, big((self.interlock_open, 22, 1)))
        self._send(0x232, big((600, 7, 12), (160, 11, 12)))
        self._send(0x233, big((signed(66.5, 0.1, 15), 7, 15), (signed(66.4, 0.1, 15), 8, 15)))
        self._send(0x234, big((143, 7, 13)))
        self._send(0x235, big((552, 7, 10), (580, 13, 10)))
        self._send(0x240, big((0, 3, 4), (self.connected, 4, 1)))
        self._send(0x243, string_values(self.current_a, 66.54))


@pytest.fixture
def fox(pack: LoadedPack) -> FoxBms:
    return FoxBms(pack)


def test_the_pack_file_is_in_order(pack: LoadedPack) -> None:
    check_pack(pack)
    decoder = SignalDecoder(pack)
    assert decoder.warnings == []
    assert not any(plan.by_cantools for plan in decoder.plans)
    assert pack.file.contactors.authority == "device"


def test_every_value(fox: FoxBms) -> None:
    scan = fox.run(120)
    assert scan.cell_voltages_v.tolist() == pytest.approx([3.7 + 0.001 * cell for cell in range(18)])
    assert scan.temperatures_degc.tolist() == [20, -15, 22, 23, 24, 25, 20, -15]
    assert scan.reported_cell_voltage_maximum_v == pytest.approx(3.717)
    assert scan.reported_cell_voltage_minimum_v == pytest.approx(3.7)
    assert scan.reported_temperature_minimum_degc == -15.0
    assert scan.reported_discharge_current_limit_a == 150.0
    assert scan.reported_charge_current_limit_a == 40.0
    assert scan.string_voltages_v.tolist() == pytest.approx([66.54])
    assert scan.link_voltage_v == pytest.approx(66.4)
    assert scan.insulation_resistance_ohm == 1_001_000.0
    assert scan.reported_soc == pytest.approx(0.552)
    assert scan.contactor_feedback.tolist()[:2] == [1, 1]
    assert scan.interlock == 1


def test_discharging_is_negative(fox: FoxBms) -> None:
    """foxBMS counts discharge as positive (BS_POSITIVE_DISCHARGE_CURRENT)."""
    fox.current_a = 42.5
    assert fox.run(120).string_currents_a.tolist() == [-42.5]


def test_the_flag_says_valid_though_its_name_says_invalid(fox: FoxBms) -> None:
    fox.valid[1] = 0b1011
    scan = fox.run(120)
    assert np.flatnonzero(scan.cell_voltage_validity != Validity.VALID).tolist() == [6]
    assert scan.cell_voltage_validity[6] == Validity.NOT_AVAILABLE


def test_an_open_interlock_is_zero(fox: FoxBms) -> None:
    fox.interlock_open = 1
    assert fox.run(120).interlock == 0


def test_the_extremes_are_new_while_a_round_of_216_cells_takes_5_4_s(pack: LoadedPack) -> None:
    """What the monitor protects on comes every 100 ms; a cell of the full pack is up to 5.4 s old by then."""
    device, topology = pack.file.device, pack.file.topology
    signals = tuple(
        entry.model_copy(update={"repeat": {"c": (0, 215)}, "max_age_s": 16.2})
        if entry.to == "cell_voltage_v" else entry
        for entry in device.signals
    )  # fmt: skip
    file = pack.file.model_copy(
        update={
            "topology": topology.model_copy(update={"cells_in_series": 216}),
            "device": device.model_copy(update={"signals": signals}),
        }
    )
    fox = FoxBms(LoadedPack(pack.path, file, pack.cell))
    fox.groups, fox.cells_mv, fox.valid = 54, [3700] * 216, [0b1111] * 54
    scan = fox.run(650)
    assert (scan.cell_voltage_validity == Validity.VALID).all()
    assert 5.2 < scan.cell_voltage_ages_s.max() < 5.5
    fox.extremes = (4300, 3600)
    scan = fox.run(10)
    assert scan.reported_cell_voltage_maximum_v == pytest.approx(4.3)
    assert scan.cell_voltages_v.max() == pytest.approx(3.7), "the cell itself has not come yet"


# ---- the state request


def request(driver: PackDriver, state: State, now_s: float) -> int:
    """Give the mode that is sent when the monitor asks for a state."""
    arbiter = driver.encoder.arbiter
    one = np.ones(1, np.uint8)
    contactors = np.array([1, 1, 0], np.uint8)
    for closed in (0, 1):
        arbiter.set_state(replace(STATE, contactor_command=contactors * closed), now_s)
        command = ContactorCommand(0, one * closed, one * closed, 0 * one, state, "", 0.5)
        arbiter.set_contactors(command, now_s)
        arbiter.outputs(now_s)
        frames = driver.frames_due(now_s + 0.01 * closed)
    (frame,) = frames or driver.frames_due(now_s + 0.2)
    assert frame.identifier == 0x210
    assert len(frame.data) == 8
    return frame.data[0]


@pytest.mark.parametrize(
    ("state", "mode"), [(State.STANDBY, 0), (State.DRIVE, 1), (State.CHARGE, 2), (State.CONNECTED, 1)]
)
def test_modes(pack: LoadedPack, state: State, mode: int) -> None:
    assert request(PackDriver(pack, "virtual:fox"), state, 10.0) == mode


def test_without_monitor_standby_is_asked_for(pack: LoadedPack) -> None:
    (frame,) = PackDriver(pack, "virtual:fox").frames_due(0.0)
    assert frame.data == bytes(8)


def test_states_belong_to_requested_state() -> None:
    with pytest.raises(ValueError, match="states is for source requested_state"):
        CommandSignal.model_validate({"signal": "Mode", "source": "pump", "states": {"DRIVE": 1}})


def timing_errors(times_s: list[float]) -> int:
    """Give the peak of foxBMS's error counter (can.c, CAN_CheckCanTiming; diag_cfg.c: it opens at 100).

    Every 10 ms: good where the last two requests are 95 to 105 ms apart and the last one is at most 105 ms
    old. Times are ticks of 1 ms there.
    """
    ticks = [int(1000.0 * time_s) for time_s in times_s]
    counter = peak = last = 0
    for now in range(ticks[1], ticks[-1], 10):
        while last + 1 < len(ticks) and ticks[last + 1] <= now:
            last += 1
        good = now - ticks[last] <= 105 and 95 <= ticks[last] - ticks[last - 1] <= 105
        counter = max(counter - 1, 0) if good else counter + 1
        peak = max(peak, counter)
    return peak


def test_the_requests_come_every_100_ms_also_where_the_loop_is_late(pack: LoadedPack) -> None:
    """A loop that comes round up to 20 ms late: requests stay in step, so lateness does not add up."""
    driver = PackDriver(pack, "virtual:fox")
    late = np.random.default_rng(1).choice([0.001, 0.003, 0.02], p=[0.6, 0.35, 0.05], size=10_000)
    now_s, times_s = 0.0, []
    for delay_s in late:
        now_s = max(now_s, driver.encoder.next_due_s()) + delay_s if now_s else delay_s
        if driver.frames_due(now_s):
            times_s.append(now_s)
        if now_s > 120.0:
            break
    assert abs(np.diff(times_s).mean() - 0.1) < 0.0002
    assert timing_errors(times_s) < 50


def test_a_changed_request_costs_foxbms_one_period(pack: LoadedPack) -> None:
    driver = PackDriver(pack, "virtual:fox")
    times_s = []
    arbiter = driver.encoder.arbiter
    for tick in range(6000):
        now_s = 0.001 * tick
        if tick % 50 == 0:
            closing = np.array([1, 1, 0] if tick >= 2537 else [0, 0, 0], np.uint8)
            one = closing[:1]
            arbiter.set_state(replace(STATE, contactor_command=closing), now_s)
            asked = State.DRIVE if one[0] else State.STANDBY
            arbiter.set_contactors(ContactorCommand(0, one, one, 0 * one, asked, "", 0.5), now_s)
        if driver.frames_due(now_s):
            times_s.append(now_s)
    assert 10 <= timing_errors(times_s) < 30


def test_an_unknown_state_is_said(pack: LoadedPack, tmp_path: Path) -> None:
    text = (FOLDER / "pack.yaml").read_text(encoding="utf-8").replace("{DRIVE: 1,", "{DRIVING: 1,")
    (tmp_path / "pack.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"pack.yaml:\d+.*DRIVING"):
        load_pack(tmp_path / "pack.yaml")
