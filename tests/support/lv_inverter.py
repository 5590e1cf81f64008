"""A pretended low-voltage inverter: it knows only the documents and answers 0x305."""

from __future__ import annotations

import threading
import time
from typing import Any

import can
from lv_tables import DOCUMENTS, decode

__all__ = ["LvInverter"]


class LvInverter:
    """Reads the frames of a battery and keeps itself alive.

    Parameters
    ----------
    document : str
        Name in :data:`lv_tables.DOCUMENTS`.
    **bus
        Of ``can.Bus``.
    """

    def __init__(self, document: str, **bus: Any) -> None:
        self.document = DOCUMENTS[document]
        self._bus = can.Bus(**bus)
        self.alive = True
        """It answers; false: its cable is cut in this direction."""
        self.frames: list[tuple[float, int, dict[str, Any]]] = []
        self._new = threading.Condition()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        answer_s = 0.0
        while not self._end.is_set():
            if self.alive and time.monotonic() >= answer_s:
                self._bus.send(can.Message(arbitration_id=0x305, data=bytes(8), is_extended_id=False))
                answer_s = time.monotonic() + 1.0
            message = self._bus.recv(0.02)
            if message is None or message.arbitration_id not in self.document.frames:
                continue
            found = decode(self.document, message.arbitration_id, bytes(message.data))
            with self._new:
                self.frames.append((time.monotonic(), message.arbitration_id, found))
                self._new.notify_all()

    def told(self, since_s: float = 0.0) -> dict[str, Any]:
        """Give the newest of all that was told since then."""
        found: dict[str, Any] = {}
        with self._new:
            for received_s, _, values in self.frames:
                if received_s >= since_s:
                    found |= values
        return found

    def wait(self, condition: Any, timeout_s: float = 20.0, since_s: float | None = None) -> float:
        """Wait until what was told since then (default: now) fulfils the condition; give the moment.

        Raises
        ------
        AssertionError
            It was not told in time; the message says what was.
        """
        since_s = time.monotonic() if since_s is None else since_s
        end_s, seen, found = time.monotonic() + timeout_s, 0, {}  # type: ignore[var-annotated]
        with self._new:
            while True:
                for received_s, _, values in self.frames[seen:]:
                    seen += 1
                    if received_s >= since_s:
                        found |= values
                        if condition(found):
                            return received_s
                left_s = end_s - time.monotonic()
                if left_s <= 0.0:
                    raise AssertionError(f"the inverter was not told so within {timeout_s} s, but: {found}")
                self._new.wait(left_s)

    def last_frame_s(self) -> float:
        """Give when the last frame came (monotonic)."""
        with self._new:
            return self.frames[-1][0] if self.frames else 0.0

    def close(self) -> None:
        """End."""
        self._end.set()
        self._thread.join(5)
        self._bus.shutdown()
