"""The twin on a real bus: device, hub, python-can reader; and how a twin is built from settings."""

from __future__ import annotations

import socket
import threading

import can
import pytest

from openbms_core.config_file import ConfigError
from openbms_core.pack import LoadedPack
from openbms_sim.bus_thread import BusThread
from openbms_sim.faults import parse_injections
from openbms_sim.link import Link
from openbms_sim.twin_setup import TwinSettings, build_twin, open_bus


def test_device_hub_and_reader(pack: LoadedPack) -> None:
    """Ten scans arrive whole at a python-can client, paced by the clock; injections act on the way."""
    twin, names = build_twin(pack, TwinSettings())
    hub, link = open_bus("socketcand", "can0", "127.0.0.1", 0, start_hub=True)
    assert hub is not None
    ticked = threading.Event()
    thread = BusThread(twin, link, lambda _: ticked.set())
    try:
        with can.Bus(interface="socketcand", channel="can0", host="127.0.0.1", port=hub.port) as reader:
            assert hub.wait_for_clients("can0", 2, 5)
            thread.start()
            assert ticked.wait(5)
            seen: dict[int, int] = {}
            first = last = 0.0
            while seen.get(0x90, 0) < 10:
                message = reader.recv(5)
                assert message is not None
                seen[message.arbitration_id] = seen.get(message.arbitration_id, 0) + 1
                first, last = first or message.timestamp, message.timestamp
            assert seen[0x100] == 40 and seen[0x80] == 100
            assert last - first == pytest.approx(0.99, abs=0.3)
            thread.inject(
                parse_injections(
                    "[{fault: silent_bus}]", cells=names.cells, sensors=names.sensors, messages=names.messages
                )
            )
            while reader.recv(0.3) is not None:
                pass
            assert thread.error == ""
    finally:
        thread.stop()
        thread.stop()
        link.close()
        hub.stop()


def test_an_error_ends_the_thread_and_is_kept(pack: LoadedPack) -> None:
    twin, _ = build_twin(pack, TwinSettings())
    raised = threading.Event()

    def fail(_: object) -> None:
        raised.set()
        raise RuntimeError("broken on purpose")

    with can.Bus(interface="virtual", channel="bus_thread") as bus:
        thread = BusThread(twin, Link(lambda: bus), fail)
        thread.start()
        assert raised.wait(5)
        thread.stop()
        assert thread.error == "RuntimeError: broken on purpose"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (TwinSettings(time_scale=0.0), "time_scale is 0.0"),
        (TwinSettings(source="magic"), "source is 'magic': it must be one of auto, plant, replay"),
        (TwinSettings(initial_soc=1.5), "initial_soc is 1.5"),
        (TwinSettings(request_on_start="fly"), "one of none, drive, charge, connected"),
        (TwinSettings(replay_file="none.parquet"), "no such file"),
        (TwinSettings(replay_capacity_ah=0.0), "capacity 0.0"),
    ],
)
def test_wrong_settings_are_refused(pack: LoadedPack, settings: TwinSettings, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_twin(pack, settings)


def test_the_plug_follows_the_key(pack: LoadedPack) -> None:
    for request, plugged in (("charge", True), ("drive", False), ("none", False)):
        twin, _ = build_twin(pack, TwinSettings(source="plant", request_on_start=request))
        assert twin._switches.plugged is plugged and twin._switches.ignition is not plugged


def test_a_pack_on_another_device_is_refused(pack: LoadedPack) -> None:
    from openbms_sim.twin import check_pack

    file = pack.file
    with pytest.raises(ConfigError, match=r"device\.type is 'generic'"):
        check_pack(file.model_copy(update={"device": file.device.model_copy(update={"type": "generic"})}))
    for more in ({"cells_in_series": 97}, {"strings": 2, "cells_in_series": 48}):
        topology = file.topology.model_copy(update=more)
        with pytest.raises(ConfigError, match="one string of at most 96"):
            check_pack(file.model_copy(update={"topology": topology}))


@pytest.mark.parametrize(
    ("interface", "host", "port", "hub"),
    [
        ("nonsense", "", 0, False),
        ("socketcand", "192.0.2.1", 0, True),
    ],
)
def test_a_bus_that_cannot_be_opened_is_one_sentence(interface: str, host: str, port: int, hub: bool) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_bus(interface, "can0", host, port, start_hub=hub)


def test_a_second_hub_on_the_same_port_is_refused() -> None:
    hub, link = open_bus("socketcand", "can0", "127.0.0.1", 0, start_hub=True)
    assert hub is not None
    try:
        with pytest.raises(ConfigError, match="in use"):
            open_bus("socketcand", "can0", "127.0.0.1", hub.port, start_hub=True)
        other, second = open_bus("socketcand", "can0", "127.0.0.1", hub.port, start_hub=False)
        assert other is None
        second.close()
    finally:
        link.close()
        hub.stop()


def inject(thread: BusThread, names, text: str) -> None:
    thread.inject(parse_injections(text, cells=names.cells, sensors=names.sensors, messages=names.messages))


@pytest.fixture
def live(pack: LoadedPack):
    """A twin with its hub, and what another client of it hears."""
    twin, names = build_twin(pack, TwinSettings(source="plant"))
    hub, link = open_bus("socketcand", "can0", "127.0.0.1", 0, start_hub=True)
    thread = BusThread(twin, link, lambda _: None)
    thread.start()
    yield thread, names, hub
    thread.stop()
    link.close()
    hub.stop()


def reader_of(hub) -> can.BusABC:
    return can.Bus(interface="socketcand", channel="can0", host="127.0.0.1", port=hub.port)


def test_error_frames_reach_the_others_as_a_controller_shows_them(live) -> None:
    thread, names, hub = live
    with reader_of(hub) as reader:
        inject(thread, names, "[{fault: bus_off, side: host, duration_s: 0.2}]")
        classes = []
        while len(classes) < 2:
            message = reader.recv(5)
            assert message is not None
            if message.is_error_frame:
                classes.append(message.arbitration_id)
        assert classes == [0x40, 0x100], "bus-off, then restarted"
        assert reader.recv(5) is not None and thread.error == ""


def test_a_dropped_link_takes_nobody_until_it_is_mended(live) -> None:
    thread, names, hub = live
    with reader_of(hub) as reader:
        assert reader.recv(5) is not None
        inject(thread, names, "[{fault: link_dropped}]")
        assert hub.wait_for_clients("can0", 1, 5, at_most=1)
    with reader_of(hub) as refused:
        while refused.recv(0.3) is not None:
            pass  # nothing but the end of the connection
        assert hub.clients("can0") == 1
    inject(thread, names, "")
    deadline = threading.Event()
    for _ in range(100):
        with reader_of(hub) as again:
            if again.recv(0.1) is not None:
                break
        deadline.wait(0.02)
    else:
        pytest.fail("nobody may come back")
    assert thread.error == ""


def test_a_hub_that_is_down_comes_back_at_its_port(live) -> None:
    thread, names, hub = live
    port = hub.port
    inject(thread, names, "[{fault: hub_down, duration_s: 0.5}]")
    pause = threading.Event()
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            break
        pause.wait(0.01)
    else:
        pytest.fail("the hub still listens")
    for _ in range(300):
        try:
            reader = reader_of(hub)
        except (OSError, can.CanError):
            pause.wait(0.02)
            continue
        with reader:
            assert reader.recv(5) is not None
        break
    else:
        pytest.fail("the hub did not come back")
    assert thread.error == "" and hub.port == port
