"""Finding the base, following the models, reading them in pieces: also where the device lies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sunspec_site import Bank, House

from openbms_drivers.devices.sunspec.chain import (
    BASES,
    Block,
    MapChangedError,
    NotSunSpecError,
    RefusedError,
    find_base,
    read_block,
    walk,
)


class Device:
    def __init__(self, bank: Bank | None = None, words: dict[int, int] | None = None) -> None:
        self.words = dict(words or {})
        if bank is not None:
            self.words.update({bank.base + index: word for index, word in enumerate(bank.words)})
        self.asked: list[tuple[int, int]] = []

    def __call__(self, address: int, count: int) -> list[int]:
        self.asked.append((address, count))
        assert 1 <= count <= 125
        if any(address + index not in self.words for index in range(count)):
            raise RefusedError("exception 2, illegal data address", 2)
        return [self.words[address + index] for index in range(count)]


@pytest.mark.parametrize("base", BASES)
def test_every_base_of_the_standard_is_found(base: int) -> None:
    device = Device(House(base=base).units[1])
    assert find_base(device) == base
    chain = walk(device, base)
    assert [block.number for block in chain.blocks] == [1, 103, 120, 121, 123, 124]
    assert chain.problem == ""


def test_another_base_is_found_only_where_it_is_given() -> None:
    device = Device(House(base=39999).units[1])
    with pytest.raises(NotSunSpecError, match=r"no 'SunS' at 40000, 50000, 0 .*base_address"):
        find_base(device)
    assert find_base(device, 39999) == 39999
    assert find_base(Device(House(base=40000).units[1]), 123) == 40000  # a wrong one does no harm


def test_a_device_without_sunspec_is_said_with_what_stands_there() -> None:
    with pytest.raises(NotSunSpecError, match=r"40000: 0x0001 0x0002"):
        find_base(Device(words={40000: 1, 40001: 2}))


def test_a_chain_without_its_end_is_kept_as_far_as_it_goes() -> None:
    bank = Bank()
    bank.add(1, {"Mn": "A"})
    chain = walk(Device(bank), bank.base)
    assert [block.number for block in chain.blocks] == [1]
    assert "without its end mark" in chain.problem


def test_a_chain_without_end_ends() -> None:
    device = Device(words={address: 7 if address % 2 == 0 else 0 for address in range(40000, 65536)})
    device.words.update({40000: 0x5375, 40001: 0x6E53})
    chain = walk(device, 40000)
    assert len(chain.blocks) == 100 and "does not end" in chain.problem
    assert len(device.asked) <= 101


def test_models_of_length_nothing_are_passed_over() -> None:
    bank = Bank()
    bank.raw_model(64999, 0)
    bank.add(1, {"Mn": "A"})
    chain = walk(Device(bank.end()), bank.base)
    assert [block.number for block in chain.blocks] == [64999, 1] and not chain.problem


def test_a_long_chain_of_unknown_models_is_followed() -> None:
    bank = Bank()
    bank.add(1, {"Mn": "A"})
    for number in range(70):
        bank.raw_model(64000 + number, 300)
    bank.add(203, {"W": 5}, {"W_SF": 0})
    chain = walk(Device(bank.end()), bank.base)
    assert chain.block(203) is not None and len(chain.blocks) == 72


@pytest.mark.parametrize(("number", "length"), [(0, 10), (103, 0xFFFF), (103, 0xFFF0)])
def test_a_model_that_cannot_be_ends_the_chain(number: int, length: int) -> None:
    bank = Bank()
    bank.add(1, {"Mn": "A"})
    words = {bank.base + index: word for index, word in enumerate(bank.words)}
    end = bank.base + len(bank.words)
    chain = walk(Device(words={**words, end: number, end + 1: length}), bank.base)
    assert [block.number for block in chain.blocks] == [1] and chain.problem


@given(st.dictionaries(st.integers(40002, 40400), st.integers(0, 0xFFFF), max_size=400))
def test_no_chain_raises_or_goes_on_for_ever(words: dict[int, int]) -> None:
    device = Device(words=words)
    chain = walk(device, 40000)
    assert len(device.asked) <= 101 and len(chain.blocks) <= 100


def test_a_long_model_is_read_in_pieces_that_a_gateway_gives() -> None:
    house = House(704)
    device = Device(house.units[1])
    chain = walk(device, 40000)
    block = chain.block(701)
    assert block is not None
    for at_once, most in ((125, 1), (50, 3)):
        device.asked.clear()
        values = read_block(device, block, at_once)
        assert len(device.asked) == most and all(count <= at_once for _, count in device.asked)
        assert values.number("Hz") == pytest.approx(50.0)


def test_another_model_at_the_old_place_is_not_read_as_the_old_one() -> None:
    bank = House().units[1]
    device = Device(bank)
    block = walk(device, 40000).block(103)
    assert block is not None
    device.words[block.address] = 113
    with pytest.raises(MapChangedError, match="changed its map"):
        read_block(device, block)


def test_a_model_that_is_shorter_than_the_standard_has_its_first_points() -> None:
    words = {40002: 203, 40003: 20}
    words.update({40004 + index: 100 + index for index in range(20)})
    values = read_block(Device(words=words), Block(203, 40002, 20))
    assert values.raw("WphA") == 117 and values.raw("TotWhImp") is None
