"""Whatever comes on the identifiers of polls: nothing is raised, nothing hangs, the loop is not kept busy."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.pack_polls import Poll
from openbms_drivers.frame import Frame
from openbms_drivers.polling.poller import Poller

SESSION = {"session": "10 03", "request": "22 F1 90", "message": "a", "name": "a"}
LONG = {"request": "22 F1 00 F1 01 F1 02 F1 03", "message": "b", "name": "b"}
OTHER = {"request": "21 02", "message": "c", "name": "c", "request_id": 0x700, "response_id": 0x708}
LIKELY = [
    "065003003201F4", "0462F19001", "037F2278", "037F227F", "037F2221", "100F62F100010203",
    "2104050607080900", "22AABBCCDDEEFF00", "300000", "310000", "3002FF", "320000", "04610201FF",
    "1014610201020304", "F0", "", "0210",
]  # fmt: skip
FRAMES = st.one_of(st.sampled_from([bytes.fromhex(text) for text in LIKELY]), st.binary(max_size=8))
STEPS = st.lists(
    st.tuples(st.sampled_from([0x79B, 0x7BB, 0x700, 0x708]), FRAMES, st.floats(0.0, 2.0), st.booleans()),
    max_size=60,
)


def a_poller() -> Poller:
    common = {"request_id": 0x79B, "response_id": 0x7BB, "period_s": 0.2, "timeout_s": 0.5}
    polls = [Poll.model_validate(common | own) for own in (SESSION, LONG, OTHER)]
    poller = Poller(polls, {poll.message: (0x10000 + n, True) for n, poll in enumerate(polls)})
    poller.start(0.0)
    return poller


@settings(max_examples=150)
@given(STEPS)
def test_whatever_comes_the_poller_goes_on(steps: list[tuple[int, bytes, float, bool]]) -> None:
    poller, now_s = a_poller(), 0.0
    for identifier, data, later_s, keeps_up in steps:
        now_s += later_s
        poller.take(Frame(identifier, data, 0, now_s, now_s))
        sent = 0
        while poller.frame_due(now_s, may_ask=keeps_up) is not None:
            sent += 1
            assert sent < 60, "one thing after the other, but not for ever"
        assert poller.next_due_s(may_ask=keeps_up) > now_s, "or the loop would go round without rest"
    # a device that then falls silent does not block anything
    for _ in range(400):
        now_s += 0.05
        poller.frame_due(now_s)
    reports = poller.reports()
    assert all(report.failed + report.answered > 0 for report in reports.values())


@settings(max_examples=50)
@given(st.lists(FRAMES, max_size=20), st.binary(min_size=1, max_size=60))
def test_behind_any_rubbish_a_whole_answer_is_taken(rubbish: list[bytes], rest: bytes) -> None:
    poller, now_s = a_poller(), 0.0
    for data in rubbish:
        now_s += 0.01
        poller.take(Frame(0x708, data, 0, now_s, now_s))
        poller.frame_due(now_s)
    before = poller.reports()["c"].answered
    answer = b"\x61\x02" + rest
    for _ in range(300):  # until it is asked again
        now_s += 0.05
        frame = poller.frame_due(now_s)
        if frame is not None and frame.identifier == 0x700 and frame.data[:3] == b"\x02\x21\x02":
            break
    else:
        raise AssertionError("not asked any more")
    if len(answer) <= 7:
        frames = [bytes((len(answer),)) + answer]
    else:
        frames = [bytes((0x10, len(answer))) + answer[:6]]
        parts = [answer[at : at + 7] for at in range(6, len(answer), 7)]
        frames += [bytes((0x20 | (number + 1) % 16,)) + part for number, part in enumerate(parts)]
    whole = None
    for data in frames:
        now_s += 0.001
        whole = poller.take(Frame(0x708, data, 0, now_s, now_s)) or whole
        poller.frame_due(now_s, may_ask=False)
    assert whole is not None and whole.data == answer
    assert poller.reports()["c"].answered == before + 1
