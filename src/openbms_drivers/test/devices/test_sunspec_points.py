"""Registers to values and back: codes for unknown, scale factors, every type."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sunspec_layout import POINTS
from sunspec_site import points_of, size_of

from openbms_drivers.devices.sunspec.models import Values, definitions
from openbms_drivers.devices.sunspec.points import SCALE_RANGE, decode, encode, scaled


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("int16", [0x8000]), ("uint16", [0xFFFF]), ("enum16", [0xFFFF]), ("bitfield16", [0xFFFF]),
        ("sunssf", [0x8000]), ("count", [0xFFFF]), ("acc16", [0]), ("int32", [0x8000, 0]),
        ("uint32", [0xFFFF, 0xFFFF]), ("enum32", [0xFFFF, 0xFFFF]), ("bitfield32", [0xFFFF, 0xFFFF]),
        ("acc32", [0, 0]), ("acc32", [0xFFFF, 0xFFFF]), ("int64", [0x8000, 0, 0, 0]),
        ("uint64", [0xFFFF] * 4), ("acc64", [0] * 4),
        ("float32", [0x7FC0, 0]), ("float32", [0x7F80, 0]), ("float32", [0xFF80, 0]),
        ("float32", [0xFFFF, 0xFFFF]), ("float64", [0x7FF8, 0, 0, 0]), ("string4", [0] * 4),
        ("string2", [0x2020, 0x2020]),
    ],
)  # fmt: skip
def test_not_implemented_is_unknown(kind: str, words: list[int]) -> None:
    assert decode(kind, words) is None
    assert math.isnan(scaled(decode(kind, words), 0))


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ("int16", [0xFFFF], -1), ("int16", [0x7FFF], 32767), ("uint16", [0x8000], 32768), ("acc16", [7], 7),
        ("int32", [0xFFFF, 0xFFFE], -2), ("uint32", [1, 0], 65536), ("acc32", [0, 1], 1),
        ("uint64", [0, 0, 1, 2], 65538), ("float32", [0x4048, 0xF5C3], 3.140000104904175),
        ("float32", [0x8000, 0], -0.0), ("string4", [0x4162, 0x6300, 0x5858, 0], "Abc"),
        ("string4", [0x4120, 0x4220, 0x2000, 0], "A B"), ("enum16", [0], 0), ("bitfield32", [0, 0], 0),
    ],
)  # fmt: skip
def test_values(kind: str, words: list[int], value: object) -> None:
    assert decode(kind, words) == value


def test_a_text_brings_nothing_to_a_terminal() -> None:
    words = list(struct.unpack(">8H", b"Ac\x1b[31m\r\nme\xff\xfe\x00\x00\x00"[:16].ljust(16, b"\0")))
    text = decode("string8", words)
    assert isinstance(text, str) and text.isprintable() and text.startswith("Ac[31mme")


@given(st.integers(-32767, 32767), st.integers(-10, 10))
def test_a_scale_factor_is_a_power_of_ten(raw: int, power: int) -> None:
    assert scaled(raw, power) == pytest.approx(raw * 10.0**power, rel=1e-15)
    assert scaled(raw, power) == float(f"{raw}e{power}")  # rounded once, as the decimal number is


@pytest.mark.parametrize("power", [None, 11, -11, 300, -32768, "2", 1.5])
def test_a_scale_factor_outside_the_standard_gives_nothing(power: object) -> None:
    assert math.isnan(scaled(230, power))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scale factor"):
        encode("int16", 5.0, power)  # type: ignore[arg-type]


@given(
    st.sampled_from(["int16", "uint16", "int32", "uint32"]),
    st.integers(-4, 4),
    st.floats(-1e9, 1e9, allow_nan=False),
)
def test_encoding_never_says_more_than_was_meant(kind: str, power: int, value: float) -> None:
    try:
        words = encode(kind, value, power)
    except ValueError:
        step = 10.0**power
        limits = {"int16": 32767, "uint16": 65534, "int32": 2**31 - 1, "uint32": 2**32 - 2}
        low = 0 if kind.startswith("u") else -limits[kind]
        assert not (low * step <= value <= limits[kind] * step)
        return
    back = scaled(decode(kind, words), power)
    assert abs(back) <= abs(value) * (1 + 1e-8) + 1e-300
    assert abs(back - value) <= 10.0**power * (1 + 1e-6)
    assert back * value >= 0


def test_a_decimal_number_keeps_its_last_digit() -> None:
    assert encode("int16", 57.3, -1) == [573]
    assert encode("int16", -57.3, -1) == [0x10000 - 573]
    assert encode("uint16", 29.999, 0) == [29]


@pytest.mark.parametrize(
    ("kind", "value"), [("uint16", 65535.0), ("int16", -32768.0), ("uint16", -1.0), ("int16", math.nan)]
)
def test_a_value_that_would_read_as_unknown_or_does_not_fit_is_refused(kind: str, value: float) -> None:
    with pytest.raises(ValueError):
        encode(kind, value)


@pytest.mark.parametrize("number", [number for number in POINTS if isinstance(number, int)])
def test_the_table_agrees_with_the_order_and_sizes_of_all_points_of_the_standard(number: int) -> None:
    register, there = 0, {}
    for name, kind, scale in points_of(number):
        there[name] = (register, kind, scale)
        register += size_of(kind)
    model = definitions()[number]
    if number != 704:  # ends with groups that are not needed
        assert model.length == register - 2
    for point in model.points:
        assert (point.register, point.type, str(point.scale)) == there[point.name], point.name


def test_the_repeated_part_agrees_too() -> None:
    register, there = 0, {}
    for name, kind, _ in points_of("160 module"):
        there[name] = register
        register += size_of(kind)
    repeat = definitions()[160].repeat
    assert repeat is not None and repeat.length == register
    assert {point.name: point.register for point in repeat.points} == {
        point.name: there[point.name] for point in repeat.points
    }


@given(
    st.sampled_from(sorted(definitions())),
    st.lists(st.integers(0, 0xFFFF), max_size=200),
    st.integers(0, 0xFFFF),
)
def test_whatever_the_registers_hold_there_is_a_number_or_nothing(
    number: int, words: list[int], length: int
) -> None:
    values = Values(definitions()[number], tuple(words), length)
    for point in values.model.points:
        if point.type.startswith("string"):
            assert values.text(point.name).isprintable()
        else:
            assert isinstance(values.number(point.name), float)
            assert not math.isinf(values.number(point.name))
        if point.end > min(len(words), length + 2):
            assert not values.has(point.name)
    assert len(list(values.modules())) <= 32
    assert all(value == value for value in values.known().values())


def test_scale_range_is_that_of_the_standard() -> None:
    assert (SCALE_RANGE[0], SCALE_RANGE[-1]) == (-10, 10)
