"""Speed of the twin: the plant against real time, packing frames against cantools, the device on its hub.

Times are CPU times, so that other programs on the computer do not matter.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import cantools
import numpy as np

from openbms_core.pack import load_pack
from openbms_core.resources import find_resource
from openbms_sim.bus_load import bus_load
from openbms_sim.frames import layouts
from openbms_sim.interface import Inputs
from openbms_sim.plant.pack import PackPlant
from openbms_sim.twin_setup import TwinSettings, build_twin
from openbms_sim.vehicle import Permission
from openbms_sim.wiring import wiring_of

READER = """
import sys, time, can
bus = can.Bus(interface="socketcand", channel="can0", host="127.0.0.1", port=int(sys.argv[1]))
got, start = 0, None
while start is None or time.monotonic() - start < float(sys.argv[2]):
    if bus.recv(0.2) is not None:
        start = start or time.monotonic()
        got += 1
print(got)
bus.shutdown()
"""
LIVE_S = 10.0


def plant_speed(cells: int) -> float:
    """Seconds of a pack at 100 Hz in a second of CPU."""
    plant = PackPlant(cells, soc=0.7)
    inputs = Inputs(
        closed=np.array([[True, True, False]]),
        zero_current=False,
        load_current_a=-6.0,
        bleed=np.arange(cells) % 7 == 0,
        pump=0.5,
        fan=0.5,
    )
    steps = 1000
    start = time.process_time()
    for _ in range(steps):
        plant.step(inputs, 0.01)
    return steps * 0.01 / (time.process_time() - start)


def packing() -> tuple[float, float]:
    """CPU time to pack one frame, by the twin and by cantools [s]."""
    pack = load_pack("demo_96s_nmc")
    path = str(find_resource(pack.file.device.dbc, pack.path))
    layout = layouts(path)["Cmu0_CellVoltages"]
    message = cantools.database.load_file(path).get_message_by_name("Cmu0_CellVoltages")
    values = {"Multiplexer": 0} | {f"Cell{c:02d}_Voltage": 37000 + c for c in range(3)}
    repeats = 3000
    start = time.process_time()
    for number in range(repeats):
        layout.pack(values, number & 15)
    own = (time.process_time() - start) / repeats
    start = time.process_time()
    for number in range(repeats):
        message.encode(values | {"Counter": number & 15, "Checksum": 0}, scaling=False, strict=False)
    return own, (time.process_time() - start) / repeats


def pure(source: str, pack: str = "demo_96s_nmc") -> float:
    """Part of a core that the twin takes without its bus."""
    twin, _ = build_twin(load_pack(pack), TwinSettings(source=source))
    twin.device.coils[:] = True
    start = time.process_time()
    for tick in range(2000):
        twin.tick((), Permission(), tick * 0.01)
    return (time.process_time() - start) / 20.0


def live(source: str) -> tuple[float, float, int, int]:
    """Part of a core that twin and hub take on the bus; frames a second at a reader, sent, late ticks."""
    from openbms_sim.bus_thread import BusThread
    from openbms_sim.twin_setup import open_bus

    twin, _ = build_twin(load_pack("demo_96s_nmc"), TwinSettings(source=source))
    hub, link = open_bus("socketcand", "can0", "127.0.0.1", 0, start_hub=True)
    assert hub is not None
    command = [sys.executable, "-c", READER, str(hub.port), str(LIVE_S)]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert hub.wait_for_clients("can0", 2, 20.0)
    thread = BusThread(twin, link, lambda _: None)
    start = time.process_time()
    began = time.monotonic()
    thread.start()
    out, _ = reader.communicate(timeout=LIVE_S + 20)
    used = (time.process_time() - start) / (time.monotonic() - began)
    thread.stop()
    link.close()
    hub.stop()
    return used, int(out) / LIVE_S, thread.frames_sent, thread.late_ticks


def main() -> int:
    """Print the table."""
    logging.getLogger("can").setLevel(logging.ERROR)
    for cells in (96, 1000, 5000):
        print(f"plant, {cells} cells at 100 Hz: {plant_speed(cells):6.1f} x real time on one core")
    own, opponent = packing()
    print(
        f"one frame with checksum: {own * 1e6:.1f} us; cantools without checksum: {opponent * 1e6:.1f} us; "
        f"ratio {opponent / own:.1f}"
    )
    for source in ("plant", "replay"):
        print(f"twin without bus, {source}, 96 cells: {100 * pure(source):.1f} % of a core")
        used, rate, _, late = live(source)
        print(
            f"twin with hub and one reader, {source}: {100 * used:.1f} % of a core, "
            f"{rate:.0f} frames/s at the reader, {late} late ticks in {LIVE_S:.0f} s"
        )
    for name, cells in (("home_16s_lfp", 16), ("robot_13s4p", 13)):
        print(f"twin without bus, plant, {cells} cells: {100 * pure('plant', name):.1f} % of a core")
    for name in ("demo_96s_nmc", "home_16s_lfp", "robot_13s4p"):
        pack = load_pack(name)
        path = Path(find_resource(pack.file.device.dbc, pack.path))
        sent = wiring_of(pack.file)[0].sent_each_scan
        load = bus_load(str(path), pack.file.device.bitrate_bit_per_s, sent)
        print(f"bus load of {name} at 500 kbit/s, worst-case stuffing: {100 * load:.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
