"""Whose turn it is, and what happens to answers that do not come as they should."""

from __future__ import annotations

from typing import Any

import pytest

from openbms_core.pack_polls import Poll
from openbms_drivers.frame import Frame
from openbms_drivers.polling.poller import OTHER_TESTER_QUIET_S, PATIENCE_S, Poller


def poll(name: str, request: str, **changes: Any) -> Poll:
    values: dict[str, Any] = {
        "name": name, "request_id": 0x79B, "response_id": 0x7BB, "request": request, "message": name,
        "period_s": 1.0, "pause_s": 0.0,
    }  # fmt: skip
    return Poll(**(values | changes))


def poller_of(*polls: Poll) -> Poller:
    poller = Poller(polls, {each.message: (0x10000 + n, True) for n, each in enumerate(polls)})
    poller.start(0.0)
    return poller


def response(text: str, at_s: float, identifier: int = 0x7BB) -> Frame:
    return Frame(identifier, bytes.fromhex(text), 0, at_s, at_s)


LONG = ["100A61020102 0304", "2105060708FFFFFF"]
WHOLE = bytes.fromhex("61020102030405060708")


def test_long_answer_is_asked_for_and_put_together() -> None:
    poller = poller_of(poll("cells", "21 02"))
    asked = poller.frame_due(0.0)
    assert asked is not None and asked.data.hex() == "0221020000000000" and asked.identifier == 0x79B
    assert poller.frame_due(0.001) is None
    assert poller.take(response(LONG[0], 0.01)) is None
    leave = poller.frame_due(0.011, may_ask=False)
    assert leave is not None and leave.data.hex() == "3000000000000000"
    whole = poller.take(response(LONG[1], 0.02))
    assert whole is not None and whole.data == WHOLE and whole.identifier == 0x10000
    assert poller.next_due_s() == pytest.approx(1.0)
    assert str(poller.reports()["cells"]) == "1 of 1 answered"


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "no answer within 1 s"),
        (["037F2112"], "negative response 0x12 (sub-function not supported)"),
        ([LONG[0]], "the answer broke off within 1 s"),
        ([LONG[0], "2205060708FFFFFF"], "a frame of the answer was lost"),
        ([LONG[0], "0261990000000000"], "another answer came in between"),
        ([LONG[0], "F0"], "a frame came that is not ISO-TP"),
    ],
)
def test_what_goes_wrong_is_said_and_the_next_one_has_its_turn(frames: list[str], reason: str) -> None:
    poller = poller_of(poll("cells", "21 02"), poll("state", "21 01"))
    assert poller.frame_due(0.0) is not None
    for number, text in enumerate(frames):
        assert poller.take(response(text, 0.01 * (number + 1))) is None
        poller.frame_due(0.01 * (number + 1), may_ask=False)
    asked = poller.frame_due(2.0)
    assert poller.reports()["cells"].reason == reason
    assert asked is not None and asked.data[:3] == b"\x02\x21\x01"


def test_plea_for_patience_is_granted_but_not_for_ever() -> None:
    poller = poller_of(poll("cells", "21 02"))
    poller.frame_due(0.0)
    for at_s in (0.5, 4.0, 8.0):
        poller.take(response("037F2178", at_s))
        assert poller.frame_due(at_s + 1.5) is None
    assert poller.frame_due(10.1) is not None
    assert poller.reports()["cells"].reason == "it was not complete after 10 s"


def test_silent_poll_starves_no_other() -> None:
    polls = [poll("silent", "21 09", period_s=0.1), poll("cells", "21 02", period_s=0.1)]
    poller = poller_of(*polls)
    now_s, asked = 0.0, []
    while now_s < 20.0:
        frame = poller.frame_due(now_s)
        if frame is not None:
            asked.append(frame.data[2])
            if frame.data[2] == 2:
                poller.take(response("0461020102", now_s + 0.005))
        now_s += 0.01
    assert asked[:6] == [9, 2, 9, 2, 9, 2]
    assert poller.reports()["cells"].answered >= 15


def test_silent_device_does_not_delay_another_connection() -> None:
    poller = poller_of(
        poll("silent", "21 09", request_id=0x700, response_id=0x708), poll("cells", "21 02", period_s=0.1)
    )
    answered = 0
    for step in range(100):
        frame = poller.frame_due(0.01 * step)
        if frame is not None and frame.identifier == 0x79B:
            answered += poller.take(response("0461020102", 0.01 * step)) is not None
    assert answered >= 9


def test_another_tester_is_left_alone_and_overheard() -> None:
    poller = poller_of(poll("cells", "21 02"))
    poller.take(response("0221010000000000", 0.0, 0x79B))
    assert poller.frame_due(0.1) is None
    assert poller.take(response(LONG[0], 0.11)) is None
    assert poller.frame_due(0.12) is None  # the other one gives leave, not we
    whole = poller.take(response(LONG[1], 0.13))
    assert whole is not None and whole.data == WHOLE
    assert poller.next_due_s() == pytest.approx(1.13)
    assert poller.reports()["cells"].asked == 0
    assert poller.frame_due(1.13 + OTHER_TESTER_QUIET_S) is not None


def test_tester_that_never_rests_does_not_win_for_ever() -> None:
    poller = poller_of(poll("cells", "21 02"))
    at_s = 0.0
    while poller.frame_due(at_s) is None or at_s == 0.0:
        at_s += 0.1
        poller.take(response("0221070000000000", at_s, 0x79B))
        poller.take(response("0261070000000000", at_s))
        assert at_s < PATIENCE_S + 2.0
    assert at_s >= PATIENCE_S - 0.2


def test_own_echo_is_no_other_tester() -> None:
    poller = poller_of(poll("cells", "21 02"))
    asked = poller.frame_due(0.0)
    assert asked is not None
    poller.take(asked._replace(monotonic_s=0.001))
    assert poller.take(response("0461020102", 0.01)) is not None
    assert poller.next_due_s() == pytest.approx(1.0)


def test_lost_bus_gives_up_and_starts_anew() -> None:
    poller = poller_of(poll("cells", "21 02", period_s=0.1))
    poller.frame_due(0.0)
    poller.take(response(LONG[0], 0.01))
    poller.lost(0.02)
    assert poller.reports()["cells"].reason == "the bus was lost"
    again = poller.frame_due(0.5)
    assert again is not None and again.data[0] == 2
    assert poller.take(response("0461020102", 0.51)) is not None


def test_extended_addressing_and_block_size() -> None:
    poller = poller_of(
        poll(
            "cells", "22 F1 90", addressing="extended", target_address=0x10, source_address=0xF1,
            flow_control={"block_size": 1, "separation_time_s": 0.005},
        )
    )  # fmt: skip
    asked = poller.frame_due(0.0)
    assert asked is not None and asked.data.hex() == "100322f190000000"
    poller.take(response("F1100F62F1900102", 0.01))
    leave = poller.frame_due(0.011)
    assert leave is not None and leave.data.hex() == "1030010500000000"
    assert poller.take(response("F121030405060708", 0.02)) is None
    assert poller.frame_due(0.021) is not None  # leave for the next block
    whole = poller.take(response("F122090A0B0C0000", 0.03))
    assert whole is not None and whole.data.hex() == "62f1900102030405060708090a0b0c"


REQUEST = "22 F1 00 F1 01 F1 02 F1 03 F1 04 F1 05 F1 06"
"""15 bytes: a first frame and two behind it."""


def test_long_request_waits_for_leave_and_keeps_its_frames_apart() -> None:
    poller = poller_of(poll("cells", REQUEST))
    first = poller.frame_due(0.0)
    assert first is not None and first.data.hex() == "100f22f100f101f1"
    assert poller.frame_due(0.001) is None
    poller.take(response("310000", 0.1))  # wait
    assert poller.frame_due(1.05) is None
    poller.take(response("300014", 1.05))  # all of it, 20 ms apart
    frames, sent_s = [], []
    for step in range(100):
        frame = poller.frame_due(1.05 + 0.001 * step, may_ask=False)
        if frame is not None:
            frames.append(frame.data.hex())
            sent_s.append(0.001 * step)
    assert frames == ["2102f103f104f105", "22f1060000000000"]
    assert sent_s[1] - sent_s[0] == pytest.approx(0.02, abs=0.0011)
    whole = poller.take(response("0562F1000102", 1.2))
    assert whole is not None and whole.data.hex() == "62f1000102"
    assert str(poller.reports()["cells"]) == "1 of 1 answered"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("320000", "the device has no room for a request of that length"),
        ("350000", "a frame came that is not ISO-TP"),
        ("", "no answer within 1 s"),
    ],
)
def test_long_request_that_is_not_let_through(reply: str, reason: str) -> None:
    poller = poller_of(poll("cells", REQUEST))
    poller.frame_due(0.0)
    if reply:
        poller.take(response(reply, 0.1))
    poller.frame_due(1.01, may_ask=False)
    assert poller.reports()["cells"].reason == reason


def test_reserved_separation_time_is_the_longest() -> None:
    poller = poller_of(poll("cells", REQUEST))
    poller.frame_due(0.0)
    poller.take(response("3000FF", 0.1))
    assert poller.frame_due(0.1, may_ask=False) is not None
    assert poller.frame_due(0.22, may_ask=False) is None
    assert poller.next_due_s() == pytest.approx(0.227)
    assert poller.frame_due(0.228, may_ask=False) is not None


def session_requests(poller: Poller, until_s: float, stays_s: float) -> list[str]:
    """Answer as a device that leaves its session ``stays_s`` after the last request."""
    asked, now_s, session_until_s = [], 0.0, -1.0
    while now_s < until_s:
        frame = poller.frame_due(now_s)
        if frame is not None:
            text = frame.data[1 : 1 + frame.data[0]].hex()
            asked.append(text)
            if text == "1003":
                poller.take(response("065003003201F4", now_s))
                session_until_s = now_s + stays_s
            elif now_s <= session_until_s:
                poller.take(response("0462F19001", now_s))
                session_until_s = now_s + stays_s
            else:
                poller.take(response("037F227F", now_s))
        now_s += 0.01
    return asked


def test_session_is_opened_before_and_again_after_a_long_pause() -> None:
    often = poller_of(poll("cells", "22 F1 90", session="10 03", period_s=1.0))
    assert session_requests(often, 10.0, 5.0) == ["1003", *["22f190"] * 10]
    seldom = poller_of(poll("cells", "22 F1 90", session="10 03", period_s=6.0))
    assert session_requests(seldom, 20.0, 5.0) == ["1003", "22f190"] * 4
    assert seldom.reports()["cells"].failed == 0


def test_session_that_ends_early_is_opened_at_once_and_one_that_does_not_help_not_for_ever() -> None:
    poller = poller_of(poll("cells", "22 F1 90", session="10 03", period_s=2.0))
    assert session_requests(poller, 5.9, 1.0) == [
        "1003",
        "22f190",
        "22f190",
        "1003",
        "22f190",
        "22f190",
        "1003",
        "22f190",
    ]
    assert poller.reports()["cells"].answered == 3
    never = poller_of(poll("cells", "22 F1 90", session="10 03", period_s=1.0))
    assert session_requests(never, 3.5, -1.0) == ["1003", "22f190"] * 4


def test_session_that_is_refused_is_said() -> None:
    poller = poller_of(poll("cells", "22 F1 90", session="10 03"))
    poller.frame_due(0.0)
    poller.take(response("037F1022", 0.01))
    assert poller.reports()["cells"].reason == (
        "the session was refused: negative response 0x22 (conditions not correct)"
    )
    assert poller.reports()["cells"].asked == 0


@pytest.mark.parametrize(
    ("request_", "begins"),
    [
        ("21 02", "6102"), ("21 02 01", "6102"), ("22 F1 90", "62f190"), ("22 F1 90 F1 91", "62f190"),
        ("23 14 20 00 10 00 08", "63"), ("19 02 FF", "5902"), ("01 0C 0D", "410c"),
        ("31 03 02 00", "71030200"), ("1A 90", "5a90"),
    ],
)  # fmt: skip
def test_how_an_answer_begins(request_: str, begins: str) -> None:
    assert poll("cells", request_).answer_bytes.hex() == begins
