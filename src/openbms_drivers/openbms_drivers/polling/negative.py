"""Negative responses of UDS and KWP2000 in words."""

from __future__ import annotations

__all__ = ["NEGATIVE", "OF_SESSION", "PENDING", "explain_negative"]

NEGATIVE = 0x7F
"""First byte of a negative response; the service and the reason follow."""
PENDING = 0x78
"""The device has understood, and asks for patience."""
OF_SESSION = (0x7E, 0x7F)
"""The device is not in the session that this needs."""

_REASONS = {
    0x10: "general reject",
    0x11: "service not supported",
    0x12: "sub-function not supported",
    0x13: "incorrect message length or invalid format",
    0x14: "response too long",
    0x21: "busy, repeat request",
    0x22: "conditions not correct",
    0x24: "request sequence error",
    0x25: "no response from sub-net component",
    0x26: "failure prevents execution",
    0x31: "request out of range",
    0x33: "security access denied",
    0x34: "authentication required",
    0x72: "general programming failure",
    0x7E: "sub-function not supported in active session",
    0x7F: "service not supported in active session",
}
"""ISO 14229-1, annex A."""


def explain_negative(code: int) -> str:
    """Say a negative response code in words.

    Parameters
    ----------
    code : int
        0 … 255.
    """
    return f"0x{code:02X} ({_REASONS[code]})" if code in _REASONS else f"0x{code:02X}"
