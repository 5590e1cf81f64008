"""Polling over a real bus: the driver's loop, the hub, and control units by can-isotp, in processes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import isotp_ecu
import pytest
from generated_pack import write_pack

from openbms_core.types import PackMeasurement, Validity
from openbms_drivers.bus import Bus
from openbms_drivers.bus_loop import BusLoop
from openbms_drivers.pack_driver import PackDriver

PATIENCE_S = 60.0
CELLS_OF_EACH = 8
SHORT_FAST = {"period_s": 0.3, "timeout_s": 0.4, "pause_s": 0.0}
MANY = "22" + "".join(f"f1{number:02x}" for number in range(10))
"""A request of 21 bytes: four frames."""


def answer(first: int, begins: str = "62f190", cells: int = CELLS_OF_EACH) -> str:
    """Give an answer with cells of a millivolt more each."""
    return begins + "".join(f"{3500 + first + cell:04x}" for cell in range(cells))


def unit(number: int, **ways: Any) -> dict[str, Any]:
    return {
        "request_id": 0x700 + number, "response_id": 0x780 + number,
        "answers": {"22f190": answer(CELLS_OF_EACH * number)},
    } | ways  # fmt: skip


GOOD: dict[str, dict[str, Any]] = {
    "plain": {},
    "asked_to_wait_between_frames": {"poll": {"flow_control": {"block_size": 1, "separation_time_s": 0.005}}},
    "wide": {
        "unit": {"request_id": 0x18DA10F1, "response_id": 0x18DAF110, "wide": True},
        "poll": {"extended_identifiers": True},
    },
    "extended_addressing": {
        "unit": {"addresses": [0x10, 0xF1]},
        "poll": {"addressing": "extended", "target_address": 0x10, "source_address": 0xF1},
    },
    "patience": {
        "unit": {"pending": 2}, "poll": {"timeout_s": 0.25, "pending_timeout_s": 2.0, "period_s": 1.0},
    },
    "long_request_and_wait_frames": {
        "unit": {"answers": {MANY: answer(48, "62f100")}, "waits": 3, "block_size": 2, "separation_ms": 10},
        "poll": {"request": MANY, "timeout_s": 0.5},
    },
    "session": {
        "unit": {"session": "1003", "session_s": 0.5},
        "poll": {"session": "10 03", "period_s": 0.8},
    },
    "session_that_stays": {"unit": {"session": "1003", "session_s": 5.0}, "poll": {"session": "10 03"}},
}  # fmt: skip
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "silent": ({"silent": True}, "no answer within 0.4 s"),
    "lost_frame": ({"lose": 1}, "a frame of the answer was lost"),
    "breaks_off": ({"lose": 2, "lose_all": True}, "the answer broke off within 0.4 s"),
    "refuses": ({"answers": {}}, "negative response 0x31 (request out of range)"),
}


@dataclass
class Outcome:
    """What the driver made of it."""

    reports: dict[str, Any]
    cells_v: list[float]
    judged: str
    scans: list[PackMeasurement]
    requests: list[tuple[str, str, float]] = field(default_factory=list)
    failure: BaseException | None = None


def pack_of(folder: Path) -> PackDriver:
    names = [*GOOD, *BAD]
    dbc = 'BO_ 256 Current: 2 DEV\n SG_ Current : 0|16@1+ (0.1,0) [0|0] "A" BMS\n\n'
    signals: list[dict[str, Any]] = [{"to": "string_current_a", "message": "Current", "signal": "Current"}]
    polls = []
    for number, name in enumerate(names):
        dbc += f"BO_ {0x80100000 + number} Answer_{name}: {3 + 2 * CELLS_OF_EACH} DEV\n"
        dbc += "".join(
            f' SG_ Cell{cell} : {8 * (3 + 2 * cell) + 7}|16@0+ (0.001,0) [0|0] "V" BMS\n'
            for cell in range(CELLS_OF_EACH)
        )
        signals.append({
            "to": "cell_voltage_v", "message": f"Answer_{name}", "signal": "Cell{c}",
            "repeat": {"c": [0, CELLS_OF_EACH - 1]}, "first_index": CELLS_OF_EACH * number, "max_age_s": 5.0,
        })  # fmt: skip
        polls.append({
            "name": name, "request_id": 0x700 + number, "response_id": 0x780 + number, "request": "22 f190",
            "message": f"Answer_{name}", **SHORT_FAST, **GOOD.get(name, {}).get("poll", {}),
        })  # fmt: skip
        if name == "wide":
            polls[-1] |= {"request_id": 0x18DA10F1, "response_id": 0x18DAF110}
    pack = write_pack(folder, dbc, signals, cells=CELLS_OF_EACH * len(names), polls=polls)
    return PackDriver(pack, "socketcand:can0")


def units() -> dict[str, dict[str, Any]]:
    made = {}
    for number, name in enumerate([*GOOD, *BAD]):
        ways = GOOD[name].get("unit", {}) if name in GOOD else BAD[name][0]
        made[name] = unit(number, **ways)
    return made


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    driver = pack_of(tmp_path_factory.mktemp("polling"))
    hub = subprocess.Popen(
        [sys.executable, "-m", "openbms_sim.can_hub", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert hub.stdout is not None
    port = int(hub.stdout.readline().rpartition(":")[2])
    ecus = subprocess.Popen(
        [sys.executable, isotp_ecu.__file__, str(port), "can0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert ecus.stdin is not None and ecus.stdout is not None
    scans: list[PackMeasurement] = []
    all_done = threading.Event()

    def on_scan(scan: PackMeasurement, *_: Any) -> None:
        scans.append(scan)
        reports = driver.polled.poller.reports()  # type: ignore[union-attr]
        if all(reports[name].answered >= 3 for name in GOOD) and all(
            reports[name].failed >= 2 for name in BAD
        ):
            all_done.set()

    loop = BusLoop(
        driver, Bus("socketcand", "can0", "127.0.0.1", port), monotonic_s=time.monotonic, stamp_s=time.time,
        wall_s=time.time, on_scan=on_scan,
    )  # fmt: skip
    try:
        ecus.stdin.write(json.dumps(units()) + "\n")
        ecus.stdin.flush()
        assert ecus.stdout.readline().strip() == "ready"
        loop.start()
        all_done.wait(PATIENCE_S)
        now_s = time.monotonic()
        assert driver.polled is not None
        reports = dict(driver.polled.poller.reports())
        judged = driver.polled.poller.judge(now_s)
        cells_v = list(driver.decoder.table.values[driver.decoder.table.slots("cell_voltage_v")])
        loop.stop()
        out, _ = ecus.communicate("end\n", timeout=PATIENCE_S)
        requests = [tuple(json.loads(line)) for line in out.splitlines()]
        yield Outcome(reports, cells_v, judged, scans, requests, loop.failure)
    finally:
        loop.stop()
        for process in (ecus, hub):
            process.kill()
            process.communicate()


@pytest.mark.parametrize("name", GOOD)
def test_it_is_answered_and_every_cell_is_right(outcome: Outcome, name: str) -> None:
    assert outcome.failure is None
    report = outcome.reports[name]
    assert report.answered >= 3, str(report)
    first = CELLS_OF_EACH * list(GOOD).index(name)
    base = 48 if name == "long_request_and_wait_frames" else first
    expected = [3.5 + 0.001 * (base + cell) for cell in range(CELLS_OF_EACH)]
    assert outcome.cells_v[first : first + CELLS_OF_EACH] == pytest.approx(expected)


@pytest.mark.parametrize("name", BAD)
def test_it_is_given_up_with_its_reason_and_asked_again(outcome: Outcome, name: str) -> None:
    report = outcome.reports[name]
    assert (report.answered, report.reason) == (0, BAD[name][1])
    assert report.asked >= 2
    assert f"'{name}'" in outcome.judged
    assert BAD[name][1] in outcome.judged


def test_pleas_for_patience_are_counted(outcome: Outcome) -> None:
    assert outcome.reports["patience"].pending >= 6
    assert outcome.reports["patience"].failed == 0


def test_a_session_is_opened_where_it_ended_and_only_there(outcome: Outcome) -> None:
    asked = {
        name: [request for who, request, _ in outcome.requests if who == name]
        for name in ("session", "session_that_stays")
    }
    # it ends between two polls: what the driver thought to be open is opened anew after the refusal
    assert asked["session"].count("1003") >= 2
    assert asked["session_that_stays"].count("1003") == 1
    assert asked["session_that_stays"][0] == "1003"
    assert outcome.reports["session_that_stays"].failed == 0


def test_who_answers_is_not_held_up_by_who_does_not(outcome: Outcome) -> None:
    times_s = [at_s for who, request, at_s in outcome.requests if (who, request) == ("plain", "22f190")]
    periods_s = sorted(b - a for a, b in itertools.pairwise(times_s))
    assert len(periods_s) >= 3
    assert 0.29 < periods_s[len(periods_s) // 2] < 0.6


def test_the_broadcast_goes_on_meanwhile(outcome: Outcome) -> None:
    settled = outcome.scans[5:]
    assert len(settled) > 10
    assert all(scan.string_current_validity[0] == Validity.VALID for scan in settled)
