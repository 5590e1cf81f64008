"""Real frames of Nissan Leaf batteries, read by a pack file over the community's DBC.

Neither the logs nor the DBC (GPL) are in the project: the test runs where ``OPENBMS_REFERENCE_DATA`` names a
folder that has ``can/EV-can_ZE1.dbc`` and ``can/*.candump.log.gz``, by default the folder ``shared/data``
beside the checkout.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from generated_pack import write_pack

from openbms_core.types import BusState, PackMeasurement, Validity
from openbms_drivers.frame import Frame
from openbms_drivers.pack_driver import PackDriver

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
DATA = Path(os.environ.get("OPENBMS_REFERENCE_DATA", _BESIDE)) / "can"
DBC = DATA / "EV-can_ZE1.dbc"

pytestmark = pytest.mark.skipif(not DBC.is_file(), reason="the logs and the DBC of the Leaf are not here")

SIGNALS = [
    {
        "to": "string_current_a", "message": "x1DB", "signal": "LB_Current",
        "not_available_raw": [1023], "minimum": -600.0, "maximum": 400.0,
    },
    {"to": "string_voltage_v", "message": "x1DB", "signal": "LB_Total_Voltage", "not_available_raw": [1023]},
    {"to": "interlock", "message": "x1DB", "signal": "LB_INTER_LOCK"},
    {"to": "contactor_positive", "message": "x1DB", "signal": "LB_MainRelayOn_flag"},
    {"to": "reported_soc", "message": "x55B", "signal": "LB_SOC", "scale": 0.001,
     "not_available_raw": [1023]},
]  # fmt: skip
INTEGRITY = [
    {"message": "x1DB", "counter": {"signal": "LB_PRUN_1DB", "modulo": 4}},
    {
        "message": "x1F2",
        "counter": {"signal": "MPRUN", "modulo": 4},
        "checksum": {"signal": "CSUM_498", "kind": "nibble_sum", "data_id": 2},
    },
]


def frames_of(log: str) -> list[Frame]:
    frames = []
    with gzip.open(DATA / f"{log}.candump.log.gz", "rt") as lines:
        for line in lines:
            stamp, _, content = line.split()
            identifier, _, data = content.partition("#")
            at_s = float(stamp.strip("()"))
            frames.append(
                Frame(int(identifier, 16), bytes.fromhex(data), int(len(identifier) > 3), at_s, at_s)
            )
    return frames


def by_hand(data: bytes) -> tuple[float, float]:
    """Current and voltage of 0x1DB as the car's makers count them, without any DBC."""
    current = data[0] << 3 | data[1] >> 5
    return 0.5 * (current - 2048 if current > 1023 else current), 0.5 * (data[2] << 2 | data[3] >> 6)


@pytest.mark.parametrize("log", ["leaf62_eplus2", "leaf62_startup", "env200_40_charge"])
def test_a_pack_file_reads_a_car(log: str, tmp_path: Path) -> None:
    signals = [*SIGNALS, {"to": "charging_plug", "message": "x1F2", "signal": "Keep_SOC_Request"}]
    pack = write_pack(tmp_path, "", signals, cells=96, max_age_s=0.3, integrity=INTEGRITY)
    (tmp_path / "pack.dbc").write_bytes(DBC.read_bytes())
    driver = PackDriver(pack)
    assert not any(plan.by_cantools for plan in driver.decoder.plans)
    driver.health.opened(0.0)
    driver.start(0.0)
    scans: list[PackMeasurement] = []
    times: list[float] = []
    currents: list[float] = []
    for frame in frames_of(log):
        due = driver.tick(frame.monotonic_s, frame.stamp_s), driver.receive(frame)
        scans += [scan for scan in due if scan is not None]
        if frame.identifier != 0x1DB:
            continue
        table = driver.decoder.table
        current_a, voltage_v = by_hand(frame.data)
        slots = table.slot("string_current_a", 0), table.slot("string_voltage_v", 0)
        if voltage_v == 511.5:
            assert table.outcome[slots[1]] == Validity.NOT_AVAILABLE
        else:
            assert table.values[slots[1]] == voltage_v
        if current_a == 511.5:
            assert table.outcome[slots[0]] == Validity.NOT_AVAILABLE
        else:
            assert table.values[slots[0]] == current_a
            times.append(frame.monotonic_s)
            currents.append(current_a)
    assert len(currents) > 1800
    good = [scan for scan in scans if scan.string_current_validity[0] == Validity.VALID]
    assert len(good) > 0.9 * len(scans)
    assert all(scan.bus_state == BusState.OK for scan in good)
    voltages_v = np.array([scan.string_voltages_v[0] for scan in good])
    assert np.nanmin(voltages_v) > 300.0
    assert np.nanmax(voltages_v) < 410.0
    assert 0.5 < good[-1].reported_soc < 1.0
    # what the scans say was charged is the integral over all frames of the log
    charge_ah = sum(scan.string_charge_increments_ah[0] for scan in good)
    until = np.array(times) <= scans[-1].stamp_s
    reference_ah = np.trapezoid(np.array(currents)[until], np.array(times)[until]) / 3600
    assert charge_ah == pytest.approx(reference_ah, abs=0.02 * abs(reference_ah) + 0.0005)
    received, rejected = driver.decoder.totals()
    assert received > 3500
    assert rejected <= 0.005 * received, "counter and checksum as the car sends them, wake-up included"


def test_the_closest_name_of_a_large_dbc(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, "", [{**SIGNALS[0], "signal": "LB_Curent"}], cells=96)
    (tmp_path / "pack.dbc").write_bytes(DBC.read_bytes())
    with pytest.raises(
        ValueError, match=r"x1DB of pack\.dbc has no signal 'LB_Curent'\. Did you mean 'LB_Current'"
    ):
        PackDriver(pack)
