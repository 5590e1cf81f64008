"""The device on its bus: frames as cantools reads them, and what it does on its own."""

from __future__ import annotations

import pytest

from openbms_core.frame_integrity import checksum
from openbms_core.types import State
from openbms_sim.frames import layouts
from openbms_sim.vehicle import Permission

MAINS = ("Positive", "Negative")


def test_a_scan_holds_every_message_and_ends_with_the_status(plant_host) -> None:
    host = plant_host.run(0.1)
    assert len(host.frames) == 10 + 8 * 6 + 8  # the insulation comes with every tenth scan, and the first
    assert host.frames[-1][0] == host.database.get_message_by_name("Pack_Status").frame_id
    assert [identifier for identifier, _ in host.frames[:9]] == [0x80] * 9
    assert host.count("Cmu3_CellVoltages") == 4
    host.run(1.0)
    assert (host.count("Pack_Current"), host.count("Pack_Status"), host.count("Pack_Insulation")) == (
        100,
        10,
        1,
    )
    sent = {message.name for message in host.database.messages if message.senders != ["BMS"]}
    assert sent == set(host.seen)


def test_frames_carry_the_true_values(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.twin._load = lambda permission, dt_s: -5.0
    host.run(1.0)
    readings, sensed = host.twin.readings, host.seen
    for cell in (0, 11, 12, 50, 95):
        value = sensed[f"Cmu{cell // 12}_CellVoltages"][f"Cell{cell % 12:02d}_Voltage"]
        assert value == pytest.approx(readings.cell_voltages_v[cell], abs=2e-3)
    assert sensed["Pack_Current"]["StringCurrent"] == pytest.approx(readings.string_currents_a[0], abs=0.06)
    assert -5.3 < readings.string_currents_a[0] < -5.0
    assert sensed["Pack_Voltages"]["StringVoltage"] == pytest.approx(readings.string_voltages_v[0], abs=0.1)
    assert sensed["Pack_Voltages"]["LinkVoltage"] == pytest.approx(readings.link_voltage_v, abs=0.1)
    assert sensed["Cmu2_Temperatures"]["Sensor3_Temperature"] == pytest.approx(25.0, abs=0.5)
    assert sensed["Cmu2_Status"]["DieTemperature"] == pytest.approx(29.0, abs=0.6)
    assert sensed["Cmu2_Status"]["ModuleVoltage"] == pytest.approx(
        readings.cell_voltages_v[24:36].sum(), abs=0.1
    )
    assert sensed["Pack_ChargeCounter"]["ChargeCounter"] == pytest.approx(-5.1 * 0.97, abs=0.4)
    assert sensed["Pack_Insulation"]["InsulationResistance"] == 5000
    assert sensed["Pack_Status"]["SupplyVoltage"] == 13.5


def test_every_frame_has_a_right_checksum_and_a_counter_that_moves_by_one(plant_host) -> None:
    host = plant_host.run(2.0)
    last: dict[int, int] = {}
    for identifier, data in host.frames:
        assert checksum("crc8_sae_j1850", data[:-1], identifier) == data[-1]
        counter = data[0] & 0xF
        assert counter == (last.get(identifier, -1) + 1) % 16
        last[identifier] = counter


def test_packing_gives_what_cantools_gives(dbc: str) -> None:
    import cantools
    import numpy as np

    database, rng = cantools.database.load_file(dbc, strict=True), np.random.default_rng(1)
    for name, layout in layouts(dbc).items():
        message = database.get_message_by_name(name)
        for multiplexer in range(4) if message.is_multiplexed() else (None,):
            raw = {}
            for signal in message.signals:
                if signal.name == "Checksum" or (
                    signal.multiplexer_ids and multiplexer not in signal.multiplexer_ids
                ):
                    continue
                low, high = (
                    (-(1 << signal.length - 1), (1 << signal.length - 1) - 1)
                    if signal.is_signed
                    else (0, (1 << signal.length) - 1)
                )
                raw[signal.name] = int(rng.integers(low, high, endpoint=True))
            if multiplexer is not None:
                raw["Multiplexer"] = multiplexer
            counter = raw.pop("Counter")
            data = layout.pack(raw, counter)
            expected = message.encode(
                raw | {"Counter": counter, "Checksum": data[-1]}, scaling=False, strict=False
            )
            assert data == bytes(expected), name
            assert layout.unpack(data).items() >= raw.items()


def test_values_beyond_the_field_are_kept_inside_and_nan_is_not_available(dbc: str) -> None:
    field = layouts(dbc)["Cmu0_CellVoltages"].fields["Cell00_Voltage"]
    assert [field.raw(value) for value in (3.7, -1.0, 99.0, float("nan"))] == [37000, 0, 65534, 65535]
    field = layouts(dbc)["Pack_Current"].fields["StringCurrent"]
    assert [field.raw(value) for value in (-1.5, -1e9, 1e9, float("nan"))] == [
        -1500, -8388607, 8388607, -8388608,
    ]  # fmt: skip


def test_contactors_follow_commands_and_feedback_follows_them(plant_host) -> None:
    host = plant_host
    host.close("Negative", "Precharge")
    host.run(1.2)
    signals = ("ContactorPositive", "ContactorNegative", "ContactorPrecharge")
    assert [host.status(name) for name in signals] == [0, 1, 1]
    assert host.seen["Pack_Voltages"]["LinkVoltage"] > host.seen["Pack_Voltages"]["StringVoltage"] - 10
    host.close(*MAINS)
    host.run(0.3)
    assert [host.status(name) for name in signals] == [1, 1, 0]
    host.close()
    host.run(0.3)
    assert host.twin.open and [host.status(name) for name in signals] == [0, 0, 0]
    assert host.twin.device.trip == "" and host.status("TripReason") == 0


def bad_silence(host) -> None:
    host.command = None


def bad_counter(host) -> None:
    host.command = None
    frame = host.frame("Bms_Command", ContactorPositive=1, ContactorNegative=1)
    original = host.run

    def run(seconds: float):
        for _ in range(round(seconds / 0.1)):
            host.pending.append(frame)
            original(0.1)
        return host

    host.run = run


def bad_checksum(host) -> None:
    original = host.frame

    def frame(name: str, **values: float) -> tuple[int, bytes]:
        identifier, data = original(name, **values)
        return identifier, data[:-1] + bytes([data[-1] ^ 1])

    host.frame = frame


def bad_length(host) -> None:
    original = host.frame
    host.frame = lambda name, **values: (original(name, **values)[0], original(name, **values)[1][:7])


def bad_identifier(host) -> None:
    """Somebody else's frame under the command's identifier."""
    host.command = None
    original = host.run

    def run(seconds: float):
        for _ in range(round(seconds / 0.1)):
            host.pending.append((0x50, host.frame("Bms_Charger", ChargeEnable=1)[1]))
            original(0.1)
        return host

    host.run = run


@pytest.mark.parametrize("bad", [bad_silence, bad_counter, bad_checksum, bad_length, bad_identifier])
def test_without_a_right_heartbeat_the_contactors_open_within_half_a_second(plant_host, bad) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(1.0)
    assert not host.twin.open
    bad(host)
    host.run(0.4)
    assert not host.twin.open
    host.run(0.3)
    assert host.twin.open
    assert host.status("TripReason") == 1
    assert "heartbeat lost" in host.twin.device.trip


def test_after_a_trip_it_closes_again_only_when_all_open_was_commanded(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(0.5)
    host.command = None
    host.run(1.0)
    host.close(*MAINS)
    host.run(1.0)
    assert host.twin.open and host.twin.device.trip
    host.close()
    host.run(0.2)
    assert host.twin.device.trip == ""
    host.close(*MAINS)
    host.run(0.3)
    assert not host.twin.open


def test_a_device_that_never_closed_has_not_tripped(plant_host) -> None:
    assert plant_host.run(3.0).twin.device.trip == ""


@pytest.mark.parametrize(
    ("injection", "code"), [("{fault: emergency_stop}", 2), ("{fault: interlock_open}", 3)]
)
def test_hardware_backup_opens_half_a_second_later(plant_host, injection: str, code: int) -> None:
    host = plant_host
    host.close(*MAINS)
    host.run(0.5)
    host.inject(f"[{injection}]")
    host.run(0.4)
    assert not host.twin.open  # the host has its time to do it in order
    host.run(0.3)
    assert host.twin.open and host.status("TripReason") == code
    host.close()
    host.run(0.5)
    host.close(*MAINS)
    host.run(0.5)
    assert host.twin.open  # as long as it is pressed


def test_heater_stops_without_command_and_pump_and_fan_go_on(plant_host) -> None:
    host = plant_host
    host.close(*MAINS)
    host.command |= {"HeaterDuty": 0.5, "PumpDuty": 0.25, "FanDuty": 0.0, "ChillerDuty": 0.1}
    host.run(0.5)
    feedback = host.seen["Pack_Actuators"]
    names = ("HeaterFeedback", "PumpFeedback", "FanFeedback", "ChillerFeedback")
    assert [feedback[name] for name in names] == [0.5, 0.25, 0.0, 0.1]
    assert feedback["AuxiliaryPower"] > 190
    host.command = None
    host.run(0.8)
    assert host.twin.device.heater == 0.5
    host.run(0.4)
    assert [feedback[name] for name in names] == [0.0, 1.0, 1.0, 0.0]


def test_bleeding_follows_the_command_and_stops_three_seconds_after_the_last(plant_host) -> None:
    host = plant_host
    host.send("Bms_Balancing2", Bleed05=1, Bleed11=1)
    host.run(2.8)
    assert host.twin.device.bleed.nonzero()[0].tolist() == [29, 35]
    assert host.seen["Cmu2_Status"]["Bleed05"] == 1 and host.seen["Cmu1_Status"]["Bleed05"] == 0
    assert host.seen["Cmu2_Status"]["DieTemperature"] > host.seen["Cmu1_Status"]["DieTemperature"] + 2
    assert host.twin.source.bled_charge_ah[29] == pytest.approx(2.8 * 3.84 / 33 / 3600, rel=0.03)
    host.run(0.5)
    assert not host.twin.device.bleed.any()


def test_the_charger_charges_while_it_hears_its_frame(plant_host) -> None:
    host = plant_host
    host.permission = Permission(State.CHARGE, False, 4.0, 0.0)
    host.close(*MAINS)
    for _ in range(10):
        host.send("Bms_Charger", ChargeEnable=1, ChargeVoltage=400, ChargeCurrent=2.0)
        host.run(0.1)
    assert 1.7 < host.seen["Pack_Current"]["StringCurrent"] < 2.05
    host.run(1.2)
    assert host.seen["Pack_Current"]["StringCurrent"] < 0.05


def test_replay_truth_and_charge_counter_agree_with_what_the_bus_says(replay_host) -> None:
    host = replay_host
    host.run(0.3)
    assert host.twin.source.test_time_s == 0.0
    assert host.seen["Pack_Current"]["StringCurrent"] == 0.0
    host.close(*MAINS)
    host.run(60.0)
    source = host.twin.source
    assert source.test_time_s == pytest.approx(60.0, abs=0.05)
    truth = source.truth()
    counted_ah = host.seen["Pack_ChargeCounter"]["ChargeCounter"] / 3600
    assert truth.cell_soc[0] == pytest.approx(1.0 + counted_ah / 2.778, abs=1e-4)
    assert host.seen["Cmu0_CellVoltages"]["Cell00_Voltage"] == pytest.approx(
        source.record.mean(source.test_time_s - 0.1, source.test_time_s)[0], abs=0.01
    )
    host.permission = Permission()
    host.run(0.2)
    assert host.seen["Pack_Current"]["StringCurrent"] == 0.0


def test_time_scale_covers_more_of_the_test_in_each_scan(pack, dbc: str) -> None:
    from openbms_sim.record import load_record
    from openbms_sim.replay import Replay
    from openbms_sim.twin import TICK_S, DigitalTwin

    twin = DigitalTwin(pack.file, layouts(dbc), Replay(load_record(), 96), time_scale=20.0)
    for tick in range(100):
        twin.tick((), Permission(), tick * TICK_S)
    assert twin.elapsed_s == pytest.approx(20.0)
