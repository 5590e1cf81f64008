"""One question at a time, and only answers to it: by a protocol of three bytes, time as a number."""

from __future__ import annotations

from openbms_drivers.serial_exchange import Answer, Exchange, Request, SerialProtocol, VirtualFrame


class Tiny(SerialProtocol):
    """A frame is 0xAA, register, 0xFF minus register; register 9 is answered by three frames."""

    start = b"\xaa"
    header = 3
    silence_s = 0.1
    pause_s = 0.01
    longest_s = 0.5

    def request(self, identifier: int, data: bytes) -> Request | None:
        key = min(identifier, 9)
        return Request(bytes([identifier]), key, 3 if key == 9 else 1) if identifier < 100 else None

    def length(self, header: bytes) -> int:
        return 3

    def intact(self, frame: bytes) -> bool:
        return frame[1] + frame[2] == 0xFF

    def read(self, frame: bytes) -> Answer | None:
        register = frame[1]
        part = register - 9 if register > 9 else 0
        return Answer(min(register, 9), part, (VirtualFrame(register, b""),))


def answer(register: int) -> bytes:
    return bytes([0xAA, register, 0xFF - register])


def heard(frames: list[VirtualFrame]) -> list[int]:
    return [frame.identifier for frame in frames]


def test_one_question_at_a_time_in_the_order_of_asking() -> None:
    exchange = Exchange(Tiny())
    for identifier in (1, 2, 1, 200):
        exchange.ask(identifier, b"")
    assert exchange.to_send(0.0) == b"\x01"
    assert exchange.to_send(0.05) == b""
    assert heard(exchange.take(answer(1), 0.06)) == [1]
    assert exchange.to_send(0.065) == b"", "the line rests"
    assert abs(exchange.next_s() - 0.07) < 1e-9
    assert exchange.to_send(0.071) == b"\x02"
    assert heard(exchange.take(answer(2), 0.08)) == [2]
    assert exchange.to_send(1.0) == b"", "asked twice, sent once; an identifier that asks nothing is not sent"
    assert (exchange.asked, exchange.answered, exchange.unanswered) == (2, 2, 0)


def test_the_question_that_was_asked_first_of_all_waits_for_one_other_at_most() -> None:
    """On a line that cannot keep up, the current still comes every other time, and nothing starves."""
    exchange, sent, now_s = Exchange(Tiny()), [], 0.0
    for _ in range(16):
        for identifier in (5, 1, 2, 3, 4):
            exchange.ask(identifier, b"")
        (register,) = exchange.to_send(now_s)
        sent.append(register)
        exchange.take(answer(register), now_s + 0.005)
        now_s += 0.02
    assert sent[0::2] == [5] * 8
    assert sent[1::2] == [1, 2, 3, 4] * 2


def test_silence_ends_a_question_and_the_next_one_goes_out() -> None:
    exchange = Exchange(Tiny())
    exchange.ask(1, b"")
    exchange.ask(2, b"")
    exchange.to_send(0.0)
    assert exchange.look(0.09) == []
    assert exchange.to_send(0.09) == b""
    assert exchange.look(0.1) == []
    assert exchange.unanswered == 1
    assert exchange.to_send(0.1) == b"\x02"
    # the first answer comes after all: it is not taken for the second
    assert exchange.take(answer(1), 0.11) == []
    assert exchange.unasked == 1
    assert heard(exchange.take(answer(2), 0.12)) == [2]


def test_an_answer_of_several_frames_ends_with_the_last_or_with_silence() -> None:
    exchange = Exchange(Tiny())
    exchange.ask(9, b"")
    exchange.to_send(0.0)
    assert heard(exchange.take(answer(9) + answer(10), 0.01)) == [9, 10]
    assert exchange.answered == 0
    assert heard(exchange.take(answer(11), 0.02)) == [11]
    assert exchange.answered == 1
    exchange.ask(9, b"")
    exchange.to_send(0.1)
    exchange.take(answer(9), 0.11)
    exchange.look(0.3)
    assert (exchange.answered, exchange.unanswered) == (2, 0)


def test_a_beginning_without_end_is_read_over_when_the_line_falls_silent() -> None:
    exchange = Exchange(Tiny())
    exchange.ask(1, b"")
    exchange.to_send(0.0)
    assert exchange.take(b"\xaa" + answer(1)[:2], 0.01) == []
    assert heard(exchange.take(answer(1)[2:], 0.02)) == [1]


def test_noise_without_end_holds_no_question_back() -> None:
    exchange = Exchange(Tiny())
    sent = []
    for step in range(200):
        now_s = 0.01 * step
        exchange.ask(1, b"")
        exchange.look(now_s)
        if exchange.to_send(now_s):
            sent.append(now_s)
        exchange.take(b"\x00", now_s)
    assert len(sent) == 4, "one each 0.5 s"


def test_two_that_answer_are_noticed_by_the_third_time() -> None:
    exchange = Exchange(Tiny())
    for turn in range(3):
        assert not exchange.two_answer(float(turn))
        exchange.ask(1, b"")
        exchange.to_send(float(turn))
        assert heard(exchange.take(answer(1) + answer(1), turn + 0.01)) == [1]
    assert exchange.two_answer(2.1)
    assert not exchange.two_answer(60.0)
    exchange.reset()
    assert not exchange.two_answer(2.2)


def test_a_reset_forgets_everything() -> None:
    exchange = Exchange(Tiny())
    exchange.ask(1, b"")
    exchange.ask(2, b"")
    exchange.to_send(0.0)
    exchange.take(answer(1)[:2], 0.01)
    exchange.reset()
    assert exchange.next_s() == float("inf")
    exchange.ask(2, b"")
    assert exchange.to_send(0.02) == b"\x02"
    assert heard(exchange.take(answer(2), 0.03)) == [2]
