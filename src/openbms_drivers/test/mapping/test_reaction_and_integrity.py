"""Sign of a current by the voltage's reaction, and kinds of checksum by frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbms_core.frame_integrity import CHECKSUM_WIDTHS
from openbms_core.pack_device import Checksum
from openbms_drivers.bit_field import BitField
from openbms_drivers.frame_checksum import FrameChecksum
from openbms_drivers.mapping.integrity import counter_jumps, proven_kind
from openbms_drivers.mapping.reaction import sign_by_charge, sign_by_voltage


def _drive(
    seed: int, resistance_ohm: float, noise_v: float = 0.0, quantum_v: float = 0.0
) -> tuple[np.ndarray, ...]:
    source = np.random.default_rng(seed)
    times = np.arange(0.0, 200.0, 0.1)
    current = np.repeat(source.uniform(-150.0, 60.0, 40), 50)
    volts = (
        360.0 + current * resistance_ohm + source.normal(0.0, noise_v, len(times))
        if noise_v
        else 360.0 + current * resistance_ohm
    )
    if quantum_v:
        volts = np.round(volts / quantum_v) * quantum_v
    return times, current, volts


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), sign=st.sampled_from([1, -1]), delay_s=st.floats(0.0, 0.4))
def test_sign_follows_the_reaction(seed: int, sign: int, delay_s: float) -> None:
    """Also where the voltage comes late, with noise and in coarse steps."""
    times, current, volts = _drive(seed, 0.1, noise_v=0.5, quantum_v=0.5)
    verdict = sign_by_voltage(times, sign * current, times + delay_s, volts)
    assert verdict.sign == sign
    assert verdict.resistance_ohm == pytest.approx(sign * 0.1, rel=0.5)


def test_noise_proves_nothing() -> None:
    """A voltage that does not care about the current gives no verdict."""
    times, current, _ = _drive(1, 0.1)
    volts = 360.0 + np.random.default_rng(2).normal(0.0, 2.0, len(times))
    verdict = sign_by_voltage(times, current, times, volts)
    assert verdict.sign == 0
    assert "disagree" in verdict.text


def test_too_few_changes_are_said() -> None:
    """One step of current is not enough."""
    times = np.arange(0.0, 60.0, 0.1)
    current = np.where(times < 30.0, 0.0, -50.0)
    verdict = sign_by_voltage(times, current, times, 360.0 + 0.1 * current)
    assert verdict.sign == 0 and verdict.changes < 8
    assert "not enough current changes" in verdict.text


@pytest.mark.parametrize("sign", [1, -1])
def test_sign_by_the_state_of_charge(sign: int) -> None:
    """A long charge with a flat voltage: the state of charge rises with the current."""
    times = np.arange(0.0, 3600.0, 1.0)
    verdict = sign_by_charge(times, np.full(len(times), sign * 20.0), times, 0.3 + times * 1e-4)
    assert verdict.sign == sign
    assert sign_by_charge(times, np.full(len(times), 20.0), times, np.full(len(times), 0.3)).sign == 0


_BYTE = BitField(56, 8, False, False, False, 8)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(
        [kind for kind, width in CHECKSUM_WIDTHS.items() if width == 8 and kind != "toyota"]
    ),
    data_id=st.one_of(st.none(), st.integers(0, 255)),
    seed=st.integers(0, 1000),
)
def test_checksum_kind_is_found(kind: str, data_id: int | None, seed: int) -> None:
    """The kind that is found computes the checksum of frames that it has not seen."""
    if kind in ("sum_with_id",):
        data_id = None
    entry = Checksum(signal="x", kind=kind, data_id=data_id)
    own = FrameChecksum(entry, _BYTE, 0x123, Path())
    source = np.random.default_rng(seed)
    bodies = [source.bytes(7) for _ in range(80)]
    whole = [body + bytes((own.compute(body + b"\0"),)) for body in bodies]
    found = proven_kind(whole[:40], _BYTE, 0x123)
    assert found is not None
    theirs = FrameChecksum(
        Checksum(signal="x", kind=found.kind, data_id=found.data_id, data_id_first=found.data_id_first),
        _BYTE,
        0x123,
        Path(),
    )
    assert all(theirs.check(frame) for frame in whole[40:])


def test_random_bytes_have_no_kind() -> None:
    """What is no checksum is none."""
    source = np.random.default_rng(5)
    assert proven_kind([source.bytes(8) for _ in range(60)], _BYTE, 0x123) is None


def test_counter_jumps() -> None:
    """Steps, jumps and repeats, over the end of the counter."""
    assert counter_jumps([13, 14, 0, 1, 1, 5], 15) == (3, 1, 1)
