"""A running driver never dies of a frame, and invents nothing: every shipped pack against hostile traffic."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hostile import HostileBus, Judge, answer_frames, torment, torment_line
from hypothesis import given
from hypothesis import strategies as st
from smart_bms import DalyBoard, JbdBoard

from openbms_core.pack import load_pack
from openbms_core.pack_polls import Poll
from openbms_drivers.devices.daly_uart.device import DalyProtocol
from openbms_drivers.devices.jbd_uart.device import JbdProtocol
from openbms_drivers.frame import FD, Frame
from openbms_drivers.pack_driver import PackDriver
from openbms_drivers.polling.poller import Poller
from openbms_drivers.serial_exchange import SerialProtocol

PACKS = sorted((Path(__file__).resolve().parents[2] / "openbms_bringup" / "config" / "packs").glob("*.yaml"))


@pytest.mark.parametrize("path", PACKS, ids=[path.stem for path in PACKS])
def test_no_pack_dies_of_a_frame_nor_invents_a_value(path: Path) -> None:
    judge, driver = torment(load_pack(path), 1500, seed=11)
    assert judge.problems == []
    received, rejected = driver.decoder.totals()
    assert received > 500 and rejected > 0
    assert judge.valid > 0


def test_the_judge_can_tell(tmp_path: Path) -> None:
    driver = PackDriver(load_pack("demo_96s_nmc"))
    bus, judge = HostileBus(driver, random.Random(3)), Judge(driver)
    driver.health.opened(0.0)
    driver.start(0.0)
    for number in range(2000):
        frame = bus.next(1e-4 * number)
        if number % 2:
            judge.take(frame)
        if (scan := driver.receive(frame)) is not None:
            judge.judge(scan, frame.monotonic_s)
    assert any("was said by no frame" in problem for problem in judge.problems)


@pytest.mark.parametrize("kind", ["jbd", "daly"])
def test_bytes_on_a_serial_line(kind: str) -> None:
    protocol: SerialProtocol
    if kind == "jbd":
        board = JbdBoard([3600 + 10 * n for n in range(13)], [25.0, 31.5, -5.0])
        good = [board.frame(3, board.basic()), board.frame(4, b"\x0e\x10" * 13), board.frame(5, b"X" * 12)]
        good += [board.frame(3, b""), board.frame(4, b"\x01", 0x80), board.frame(0xE1, b"")]
        pack, protocol = load_pack("jbd_13s4p_robot"), JbdProtocol()
    else:
        daly = DalyBoard([3600 + 10 * n for n in range(14)], [25, 31])
        asked = (bytes([0xA5, 0x40, command, 8, *bytes(8)]) for command in range(0x90, 0x99))
        good = [daly.answer(body + bytes([sum(body) & 0xFF]))[1] for body in asked]
        good = [data for data in good if data]
        pack, protocol = load_pack("daly_14s4p_robot"), DalyProtocol(14, 2)
    judge = torment_line(pack, protocol, good, 1500, seed=5)
    assert judge.problems == []
    assert judge.valid > 1000
    assert protocol.broken > 10 and protocol.skipped > 100


# ---- polls of every kind of addressing, whatever comes

_WAYS = (
    {},
    {"addressing": "extended", "target_address": 0xF1, "source_address": 0x10},
    {"addressing": "mixed", "address_extension": 0x55},
    {"extended_identifiers": True, "request_id": 0x18DA10F1, "response_id": 0x18DAF110, "can_fd": True},
)
_CHUNK = st.one_of(
    st.binary(max_size=8),
    st.binary(min_size=12, max_size=64),
    st.builds(lambda kind, rest: bytes([kind]) + rest, st.integers(0, 0x3F), st.binary(max_size=7)),
)


@pytest.mark.parametrize("way", _WAYS, ids=["normal", "extended", "mixed", "FD and 29 bit"])
@given(chunks=st.lists(st.tuples(_CHUNK, st.sampled_from([0.001, 0.05, 0.9, 6.0])), max_size=25))
def test_no_answer_ends_the_poller_and_it_asks_again(way, chunks) -> None:
    values = {"name": "cells", "request_id": 0x79B, "response_id": 0x7BB, "request": "21 02", "period_s": 1.0,
              "message": "Cells"}  # fmt: skip
    poll = Poll(**(values | way))
    poller = Poller([poll], {"Cells": (0x10000, True)})
    poller.start(0.0)
    now_s = 0.0
    wide = int(poll.extended_identifiers)
    for data, later_s in chunks:
        now_s += later_s
        poller.frame_due(now_s)
        frame = Frame(poll.response_id, data, wide | (FD if len(data) > 8 else 0), now_s, now_s)
        answer = poller.take(frame)
        assert answer is None or answer.data.startswith(poll.answer_bytes)
    # and then it answers as it should
    for _ in range(60):
        now_s += 0.5
        asked = poller.frame_due(now_s)
        if asked is not None and asked.data[len(poll.prefixes[0]) :].startswith(b"\x02\x21\x02"):
            break
    else:
        raise AssertionError("it asks no more")
    whole = [
        poller.take(Frame(poll.response_id, data, wide, now_s, now_s))
        for data in answer_frames(poll, b"\x61\x02" + bytes(range(40)))
    ]
    assert whole[-1] is not None
    assert whole[-1].data == b"\x61\x02" + bytes(range(40))
