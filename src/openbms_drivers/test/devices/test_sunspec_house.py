"""A whole house on a real Modbus server: follows, falls back, loses and finds its devices again."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from sunspec_site import House

from openbms_core.types import FinalLimits, GridEvent, GridEventKind, PowerSetpoint
from openbms_drivers.devices.sunspec.site import Site
from openbms_drivers.devices.sunspec.site_file import SiteFile

VOLTS = 51.2


def site_file(house: House, **changes: Any) -> SiteFile:
    inverter = {"host": "127.0.0.1", "port": house.port, "unit": 1, "revert_after_s": 2.0, "efficiency": 1.0}
    inverter |= changes.pop("inverter", {})
    meter = {"role": "grid", "host": "127.0.0.1", "port": house.port, "unit": 200}
    settings = {"poll_period_s": 0.25, "timeout_s": 0.5, "max_age_s": 1.0, **changes}
    return SiteFile.model_validate(
        {"schema_version": 1, "name": "test", "inverter": inverter, "meters": [meter], **settings}
    )


class Running:
    """A site with its threads; `until` feeds it as the topics would, and waits for what is expected."""

    def __init__(self, house: House, site: Site) -> None:
        self.house, self.site = house, site
        self.wanted_w: float | None = 0.0
        self.limit_a = 100.0
        self.limits_alive = True

    def feed(self) -> None:
        now = time.monotonic()
        inputs = self.site.inputs
        self.house.advance()
        inputs.take_pack(VOLTS, self.house.pack_w / VOLTS, now)
        if self.limits_alive:
            inputs.take_limits(
                FinalLimits(self.limit_a, self.limit_a, 9e3, 9e3, "c", "d", "", False, math.nan, 0.5), now
            )
        if self.wanted_w is not None:
            inputs.take_setpoint(PowerSetpoint(self.wanted_w, "test", "", 0.5), now)

    def until(self, condition: Callable[[], Any], what: str, within_s: float = 10.0) -> None:
        end = time.monotonic() + within_s
        while not condition():
            assert self.site.failure is None, self.site.failure
            assert time.monotonic() < end, (
                f"never: {what}; battery {self.house.battery_ac_w:.0f} W, {self.site.decision}, "
                f"{self.site.report(time.monotonic())}"
            )
            self.feed()
            time.sleep(0.02)

    def until_power(self, power_w: float, tolerance_w: float = 30.0) -> None:
        self.until(lambda: abs(self.house.battery_ac_w - power_w) < tolerance_w, f"{power_w} W")


@contextmanager
def running(house: House, **changes: Any) -> Iterator[Running]:
    with house:
        site = Site(site_file(house, **changes), monotonic_s=time.monotonic, stamp_s=time.time)
        site.start()
        try:
            yield Running(house, site)
        finally:
            site.stop()


@pytest.mark.parametrize(
    ("control", "floats", "base"), [(124, False, 40000), (124, True, 50000), (704, False, 0)]
)
def test_a_setpoint_is_followed_in_both_directions(control: int, floats: bool, base: int) -> None:
    with running(House(control, floats=floats, base=base)) as run:
        for wanted_w in (2000.0, -1500.0, 0.0):
            run.wanted_w = wanted_w
            run.until_power(wanted_w)
        run.until(lambda: abs(run.site.meter(time.monotonic())[0].power_w - 500.0) < 40.0, "the meter")
        meter, stamp_s, _ = run.site.meter(time.monotonic())
        assert meter.meter == "Acme Meter 63 M-7" and stamp_s is not None and abs(time.time() - stamp_s) < 2.0
        assert run.site.report(time.monotonic()).level == 0
        assert run.house.reverted == 0


def test_limits_times_voltage_bound_it_and_stale_limits_end_it() -> None:
    with running(House()) as run:
        run.wanted_w, run.limit_a = 4000.0, 20.0
        run.until_power(20.0 * VOLTS)
        run.limits_alive = False
        run.until_power(0.0)
        assert run.site.decision.bound_by == "limits_stale"


def test_a_setpoint_that_expires_ends_in_zero() -> None:
    with running(House(pv_w=3000.0)) as run:
        run.wanted_w = -1000.0
        run.until_power(-1000.0)
        run.wanted_w = None
        run.until_power(0.0)
        assert run.site.decision.bound_by == "no_setpoint"


def test_a_setpoint_that_expires_ends_in_the_inverters_own_mode_where_that_is_wanted() -> None:
    with running(House(pv_w=3000.0), inverter={"when_setpoint_expires": "release"}) as run:
        run.wanted_w = -1000.0
        run.until_power(-1000.0)
        run.wanted_w = None
        run.until_power(2500.0)  # charges what the panels give beyond the load


@pytest.mark.parametrize(("control", "after_w"), [(124, 2500.0), (704, 0.0)])
def test_without_this_computer_the_inverter_falls_back_by_itself(control: int, after_w: float) -> None:
    house = House(control, pv_w=3000.0)
    with running(house) as run:
        run.wanted_w = -1000.0
        run.until_power(-1000.0)
        run.site.stop()  # leaves 0 W with its reversion time
        run.until_power(0.0)
        run.until(lambda: house.reverted, "reversion", 8.0)
        run.until_power(after_w)


def test_the_server_dies_and_comes_back() -> None:
    house = House()
    with running(house) as run:
        run.wanted_w = 1500.0
        run.until_power(1500.0)
        house.stop()
        run.until(lambda: math.isnan(run.site.meter(time.monotonic())[0].power_w), "unknown, not old")
        run.until(
            lambda: run.site.grid_event(time.monotonic()).kind == GridEventKind.UNREACHABLE, "unreachable"
        )
        assert run.site.meter(time.monotonic())[1] is None
        assert run.site.report(time.monotonic()).level == 1
        house.battery_ac_w = 0.0
        house.units[1].set(124, "StorCtl_Mod", 0)  # it was without power
        house.start()
        run.until_power(1500.0)
        run.until(lambda: run.site.report(time.monotonic()).level == 0, "all well")


def test_a_curtailment_appears_and_bounds_and_goes() -> None:
    house = House()
    with running(house) as run:
        run.wanted_w = -4000.0
        run.until_power(-4000.0)
        house.units[1].set(123, "WMaxLimPct", 40)
        house.units[1].set(123, "WMaxLim_Ena", 1)
        run.until_power(-2000.0)
        run.until(lambda: run.site.decision.bound_by == "grid_event:inverter", "the decision says why")
        event = run.site.grid_event(time.monotonic())
        assert (event.kind, event.discharge_power_w) == (GridEventKind.CURTAILMENT, 2000.0)
        house.units[1].set(123, "WMaxLim_Ena", 0)
        run.until_power(-4000.0)


def test_an_event_by_topic_and_the_limit_of_the_connection() -> None:
    with running(House(load_w=500.0), connection={"import_max_w": 3000.0}) as run:
        run.wanted_w = 4500.0
        run.until_power(2500.0)
        event = GridEvent(1, 1000.0, math.nan, math.nan, math.nan, "enwg14a", "dimmed to 4.2 kW", 60.0)
        run.site.inputs.take_event(event, time.monotonic())
        run.until_power(1000.0)
        event.kind = GridEventKind.NONE
        run.site.inputs.take_event(event, time.monotonic())
        run.until_power(2500.0)


def test_an_inverter_that_ignores_what_it_took_is_named() -> None:
    house = House()
    with running(house, inverter={"follows_within_s": 1.0}) as run:
        house.obeys = False
        run.wanted_w = 2000.0
        run.until(lambda: run.site.controller and run.site.controller.not_following, "said", 15.0)
        assert "does not follow" in run.site.report(time.monotonic()).message


def test_somebody_who_changes_the_mode_is_overruled_and_a_refused_write_is_said() -> None:
    house = House()
    with running(house, inverter={"revert_after_s": 60.0}) as run:
        run.wanted_w = 1000.0
        run.until_power(1000.0)
        house.units[1].set(124, "StorCtl_Mod", 0)
        run.until(lambda: house.units[1].get(124, "StorCtl_Mod") == 3, "written anew", 4.0)
        assert run.site.controller is not None and run.site.controller.overruled == 1
        assert run.site.controller.overruled_because == "StorCtl_Mod is 0, written was 3"
        at = house.units[1].address(124, "OutWRte")
        house.refuse[at] = ExcCodes.ILLEGAL_VALUE
        run.wanted_w = 2000.0
        run.until(lambda: "OutWRte and InWRte" in run.site.report(time.monotonic()).message, "refusal")
        del house.refuse[at]
        run.until_power(2000.0)


def test_a_slow_server_gives_no_old_values_and_does_not_hang_the_stop() -> None:
    house = House()
    with running(house) as run:
        run.until(lambda: not math.isnan(run.site.meter(time.monotonic())[0].power_w), "the meter")
        house.delay_s = 0.8
        run.until(lambda: math.isnan(run.site.meter(time.monotonic())[0].power_w), "unknown")
        began = time.monotonic()
        run.site.stop()
        assert time.monotonic() - began < 4.0
        house.delay_s = 0.0


def test_only_a_meter() -> None:
    house = House(pv_w=4000.0)
    house.obeys = False
    with house:
        meter = {"role": "grid", "host": "127.0.0.1", "port": house.port, "unit": 200, "positive": "export"}
        file = SiteFile.model_validate({"schema_version": 1, "name": "m", "meters": [meter]})
        site = Site(file, monotonic_s=time.monotonic, stamp_s=time.time)
        site.start()
        run = Running(house, site)
        try:
            run.until(lambda: site.meter(time.monotonic())[2], "a reading")
            assert site.meter(time.monotonic())[0].power_w == pytest.approx(-house.grid_w, abs=400.0)
        finally:
            site.stop()


def test_the_limit_of_feeding_in_holds_whatever_the_losses_are() -> None:
    for efficiency in (1.0, 0.9):
        house = House(load_w=500.0)
        changes = {"connection": {"export_max_w": 1000.0}, "inverter": {"efficiency": efficiency}}
        with running(house, **changes) as run:
            run.wanted_w = -4500.0
            run.until_power(-1500.0)
            end = time.monotonic() + 0.6
            run.until(lambda until=end: time.monotonic() > until, "some time")
            assert house.battery_ac_w == pytest.approx(-1500.0, abs=60.0)


def test_an_inverter_that_was_lost_while_it_was_given_back_is_given_back_later() -> None:
    house = House(pv_w=3000.0)
    with running(house, inverter={"when_setpoint_expires": "release", "revert_after_s": 60.0}) as run:
        run.wanted_w = -1000.0
        run.until_power(-1000.0)
        house.stop()
        run.wanted_w = None
        run.until(lambda: run.site.decision.release, "released")
        run.until(lambda: run.site.controller and run.site.controller.problem, "it was tried")
        house.start()
        run.until_power(2500.0)
        assert house.reverted == 0 and house.units[1].get(124, "StorCtl_Mod") == 0
