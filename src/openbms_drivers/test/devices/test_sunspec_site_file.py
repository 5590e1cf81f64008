"""The site's file: what is refused and how it is said; what a scan proposes can be loaded."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec_site import Bank, House, SunspecServer

from openbms_core.config_file import ConfigError
from openbms_drivers.devices.sunspec.chain import RefusedError
from openbms_drivers.devices.sunspec.controller import InverterController
from openbms_drivers.devices.sunspec.device import INVERTER_FAST, INVERTER_SLOW, SunspecDevice
from openbms_drivers.devices.sunspec.link import LinkDownError, ModbusLink
from openbms_drivers.devices.sunspec.models import INVERTER_MODELS, Values
from openbms_drivers.devices.sunspec.ratings import grid_state, ratings
from openbms_drivers.devices.sunspec.setpoint import Decision
from openbms_drivers.devices.sunspec.site import Site
from openbms_drivers.devices.sunspec.site_file import Inverter, load_site
from openbms_drivers.devices.sunspec.survey import propose, survey_unit

GOOD = """schema_version: 1
name: home
inverter:
  host: 10.0.0.5
  revert_after_s: 30.0
meters:
  - {role: grid, host: 10.0.0.5, unit: 200}
connection: {import_max_w: 9000.0}
"""


def test_the_shipped_example_loads() -> None:
    site, path = load_site("package://openbms_drivers/devices/sunspec/site.yaml")
    assert site.inverter is not None and path.name == "site.yaml"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  host: 10.0.0.5\n", "  hots: 10.0.0.5\n", r"site.yaml:4: inverter.hots: unknown key .*'host'"),
        ("unit: 200", "unit: 300", r"site.yaml:7: meters\[0\].unit: value 300"),
        ("role: grid", "role: grids", r"site.yaml:7: meters\[0\].role: value 'grids'"),
        ("30.0", "1.0", r"site.yaml:5: inverter.revert_after_s: value 1.0"),
        ("unit: 200}", "unit: 1}\n  - {role: load, host: 10.0.0.5}", r"unit 1 of 10.0.0.5:502 stands there"),
        ("unit: 200}", "unit: 2}\n  - {role: pv, host: 10.0.0.5}", r"unit 1 of 10.0.0.5:502 stands there"),
        ("role: grid", "role: pv", r"connection.import_max_w cannot be kept without a meter"),
        ("9000.0", "-1.0", r"site.yaml:8: connection.import_max_w: value -1.0"),
        ("  host: 10.0.0.5\n", '  host: "10.0.0.5; rm"\n', r"site.yaml:4: inverter.host"),
        ("name: home", "name: home\nmax_age_s: 0.5", r"max_age_s \(0.5\) is below two poll periods"),
        (
            "200}",
            "200}\n  - {role: grid, host: 10.0.0.5, unit: 201}",
            r"site.yaml:8: meters\[1\].role is the second 'grid'",
        ),
    ],
)
def test_what_is_wrong_is_said_with_line_key_and_cure(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(GOOD, encoding="utf-8")
    load_site(str(path))
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load_site(str(path))


def test_a_site_without_anything_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("schema_version: 1\nname: nothing\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="neither an inverter nor a meter"):
        load_site(str(path))


@pytest.mark.parametrize(("control", "named", "base"), [(124, "storage", 40000), (704, "der", 39000)])
def test_what_a_scan_proposes_is_a_good_file(tmp_path: Path, control: int, named: str, base: int) -> None:
    with House(control, base=base) as house:
        link = ModbusLink("127.0.0.1", house.port, 2.0, time.monotonic)
        found = [survey_unit(link, unit, base) for unit in (1, 200)]
        link.close()
        assert house.writes == []
    path = tmp_path / "site.yaml"
    path.write_text(propose("127.0.0.1", house.port, found, quote=str), encoding="utf-8")
    site, _ = load_site(str(path))
    assert site.inverter is not None and site.inverter.control == named
    assert (site.inverter.charge_max_w, site.inverter.discharge_max_w) == (5000.0, 5000.0)
    assert site.inverter.base_address == (None if base == 40000 else base)
    assert [(meter.role, meter.unit) for meter in site.meters] == [("grid", 200)]


def test_an_inverter_of_solar_panels_is_proposed_as_one_and_strings_of_a_hybrid_are_shown(
    tmp_path: Path,
) -> None:
    bank = Bank()
    bank.add(1, {"Mn": "Sun\x1b[2J", "SN": "1"})
    bank.add(101, {"W": 900, "St": 4, "Evt1": 0}, {"W_SF": 0})
    bank.add(160, {"N": 2}, {"DCW_SF": 0, "DCV_SF": -1})
    bank.extend(160, ([0xFFFF] * 11 + [300, 0] + [0xFFFF] * 7) * 2)
    with SunspecServer({1: bank.end()}) as server:
        link = ModbusLink("127.0.0.1", server.port, 2.0, time.monotonic)
        found = survey_unit(link, 1)
        link.close()
        modules = list(found.models[160].modules())
        assert [module["DCW"] for module in modules] == [300.0, 300.0]
        text = propose("127.0.0.1", server.port, [found], quote=str)
    assert "\x1b" not in text
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    site, _ = load_site(str(path))
    assert site.inverter is None and [meter.role for meter in site.meters] == ["pv"]


class _Registers:
    """In place of a connection: registers that hold anything, and requests that fail at random."""

    name, connects, losses = "test", 0, 0

    def __init__(self, words: list[int], base: int, moods: list[int]) -> None:
        self.words, self.base, self.moods = words, base, moods
        self.turn = 0

    def _mood(self) -> None:
        self.turn += 1
        mood = self.moods[self.turn % len(self.moods)] if self.moods else 0
        if mood == 1:
            raise RefusedError("exception 6, device busy", 6)
        if mood == 2:
            raise LinkDownError("no answer in time")

    def read(self, unit: int, address: int, count: int) -> list[int]:
        self._mood()
        start = address - self.base
        if start < 0 or start + count > len(self.words):
            raise RefusedError("exception 2, illegal data address", 2)
        return self.words[start : start + count]

    def write(self, unit: int, address: int, words: list[int]) -> None:
        self._mood()
        start = address - self.base
        self.words[start : start + len(words)] = words


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([124, 704]),
    st.dictionaries(st.integers(0, 400), st.integers(0, 0xFFFF), max_size=60),
    st.lists(st.integers(0, 12), max_size=9),
    st.lists(st.floats(-6000, 6000), min_size=1, max_size=5),
)
def test_no_device_however_mad_ends_the_thread_or_is_told_more_than_was_decided(
    control: int, mad: dict[int, int], moods: list[int], powers: list[float]
) -> None:
    bank = House(control).units[1]
    for index, word in mad.items():
        bank.words[index % len(bank.words)] = word
    clock = [0.0]
    registers = _Registers(bank.words, bank.base, moods)
    device = SunspecDevice(
        registers,  # type: ignore[arg-type]
        1,
        None,
        (*INVERTER_MODELS, *INVERTER_FAST),
        INVERTER_SLOW,
        monotonic_s=lambda: clock[0],
        stamp_s=lambda: clock[0],
    )
    controller = InverterController(device, Inverter(host="x"), 3.0, lambda: clock[0])
    for power_w in powers * 3:
        clock[0] += 1.0
        device.poll()
        models: dict[int, Values] = {
            number: reading.values for number, reading in device.snapshot.readings.items()
        }
        grid_state(models, 5000.0, 5.0)
        decision = Decision(power_w, power_w)
        controller.step(decision, ratings(models, None, None))
        controller.watch(decision, power_w)
        written = controller.written_w
        if controller.problem == "" and written == written:
            assert abs(written) <= abs(power_w) * (1 + 1e-6) + 26.0  # 0.5 % are not worth a write
            assert written * power_w >= 0.0
    controller.stop(ratings({}, None, None))


def test_an_inverter_and_the_meter_at_one_unit_id_are_two_devices(tmp_path: Path) -> None:
    bank = Bank()
    bank.add(1, {"Mn": "One", "SN": "1"})
    bank.add(103, {"W": 900, "St": 4, "Evt1": 0}, {"W_SF": 0})
    bank.add(203, {"W": -350}, {"W_SF": 0})
    with SunspecServer({1: bank.end()}) as server:
        link = ModbusLink("127.0.0.1", server.port, 2.0, time.monotonic)
        text = propose("127.0.0.1", server.port, [survey_unit(link, 1)], quote=str)
        link.close()
        path = tmp_path / "site.yaml"
        path.write_text(text, encoding="utf-8")
        file, _ = load_site(str(path))
        assert [(meter.role, meter.unit) for meter in file.meters] == [("grid", 1), ("pv", 1)]
        site = Site(file, monotonic_s=time.monotonic, stamp_s=time.time)
        site.start()
        try:
            end = time.monotonic() + 10.0
            while time.monotonic() < end:
                meter = site.meter(time.monotonic())[0]
                if (meter.power_w, meter.pv_power_w) == (-350.0, 900.0):
                    break
                time.sleep(0.05)
            assert (meter.power_w, meter.pv_power_w) == (-350.0, 900.0)
        finally:
            site.stop()
