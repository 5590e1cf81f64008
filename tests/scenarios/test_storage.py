"""A home storage system, with an inverter that is pretended on a bus of its own: real nodes and processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bms_system import BmsSystem, contactors_closed
from lv_inverter import LvInverter

from openbms_core.types import State
from openbms_drivers.devices.inverter_lv.profile import find_profile

pytestmark = [pytest.mark.system, pytest.mark.timeout(150)]


def quick_profile(folder: Path) -> str:
    """Write the shipped profile with an inverter that is missed sooner, and give its path."""
    text = find_profile("pylontech_v1_2").read_text(encoding="utf-8")
    assert "lost_after_s: 10.0" in text
    path = folder / "quick.yaml"
    path.write_text(text.replace("lost_after_s: 10.0", "lost_after_s: 2.5"), encoding="utf-8")
    return str(path)


def connect(system: BmsSystem) -> None:
    """Close the contactors, unless they are: a computer busy with starting a process may open them."""
    state = system.wait("state", lambda message: message.state in (State.STANDBY, State.CONNECTED), 40)
    if state.state == State.STANDBY:
        system.request_until_accepted("connected")
    system.wait("state", lambda message: message.state == State.CONNECTED, 20)


@pytest.fixture
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BmsSystem, LvInverter]]:
    """Give a storage system in use, and the inverter that it feeds."""
    folder = tmp_path_factory.mktemp("storage")
    gateway = {"rise_s": 1.0, "hold_s": 0.0, "profile": quick_profile(folder)}
    gateway["state_file"] = str(folder / "inverter.json")
    parameters = {"inverter_gateway": gateway, "twin": {"load_factor": 0.0}}
    system = BmsSystem(folder, parameters, system="storage_demo")
    inverter: LvInverter | None = None
    try:
        system.start("sim", "driver", "safety", "bms", "gateway")
        system.wait("state", lambda message: message.state == State.STANDBY, 40, since=0.0)
        bus = system.plan.parameters["gateway"]["/**/inverter_gateway"]["ros__parameters"]
        inverter = LvInverter(
            "pylontech_v1_2", interface="socketcand", channel=bus["inverter_channel"], host=bus["can_host"],
            port=bus["can_port"],
        )  # fmt: skip
        system.wait("power_limits", timeout_s=60, since=0.0)
        connect(system)
        system.wait("twin_truth", contactors_closed)
        yield system, inverter
    finally:
        if inverter is not None:
            inverter.close()
        system.close()


def current_a(system: BmsSystem, flows: float) -> None:
    """Let the inverter draw or give a current, as its power stage would."""
    system.inject({"fault": "load", "current_a": flows, "obeys": True})
    system.wait("measurement", lambda m: abs(m.string_currents[0] - flows) < 1.0, 20)


def diagnosis(system: BmsSystem, text: str, timeout_s: float = 40.0) -> None:
    system.wait(
        "/diagnostics",
        lambda m: m.status[0].name.endswith("inverter_gateway") and text in m.status[0].message,
        timeout_s,
    )


def test_an_inverter_is_fed_lost_and_fed_again(storage: tuple[BmsSystem, LvInverter]) -> None:
    """It hears limits of the pack and takes current within them; its silence is said; a gateway that is
    killed sends nothing, started again it goes on; without the monitor the limits are zero.
    """
    system, inverter = storage
    inverter.wait(lambda told: told.get("dcl_a", 0.0) > 20.0 and told.get("charge") is True, 40)
    told, final = inverter.told(time.monotonic() - 2.5), system.last("limits")
    assert told["dcl_a"] <= final.discharge_current + 0.1 and told["ccl_a"] <= final.charge_current + 0.1
    assert told["cvl_v"] == pytest.approx(56.0) and not told["system_error"]
    current_a(system, -15.0)
    inverter.wait(lambda told: abs(told.get("current_a", 0.0) + 15.0) < 1.0, 20)
    truth = system.last("twin_truth")
    inverter.wait(lambda told: abs(told.get("soc_pct", 0) / 100 - min(truth.cell_soc)) < 0.08, 20)

    inverter.alive = False
    diagnosis(system, "the inverter was not heard")
    inverter.alive = True
    diagnosis(system, "connected")

    killed_s = system.kill("gateway")
    time_of_last = inverter.last_frame_s()
    system.wait("state", lambda _: time.monotonic() - killed_s > 2.5, 20)
    assert inverter.last_frame_s() - max(killed_s, time_of_last) < 0.5, "nobody else sends for it"
    assert system.last("state").state == State.CONNECTED, "the pack does not mind"
    system.start("gateway")
    inverter.wait(lambda told: "dcl_a" in told, 40)
    connect(system)
    inverter.wait(lambda told: told.get("dcl_a", 0.0) > 20.0, 40)

    dead_s = system.kill("safety")
    zero_s = inverter.wait(lambda told: told.get("ccl_a") == 0.0 and told.get("dcl_a") == 0.0, 10, dead_s)
    assert zero_s - dead_s < 3.0
    inverter.wait(lambda told: told.get("system_error") is True and told.get("charge") is False, 10, dead_s)


def test_an_orderly_end_tells_zero_before_the_contactors_open(storage: tuple[BmsSystem, LvInverter]) -> None:
    """Ctrl-C while current is drawn: the inverter hears zero while the contactors are still closed."""
    system, inverter = storage
    inverter.wait(lambda told: told.get("dcl_a", 0.0) > 20.0, 40)
    current_a(system, -40.0)
    end_s = time.monotonic()
    codes = system.interrupt("gateway", "driver", "safety", "bms")
    zero_s = inverter.wait(lambda told: told.get("dcl_a") == 0.0, 5, end_s)
    opened: list[Any] = [
        moment
        for moment, truth in system.messages["twin_truth"]
        if moment > end_s and not any(truth.contactors)
    ]
    assert set(codes.values()) == {0}, codes
    assert opened and zero_s <= opened[0]
