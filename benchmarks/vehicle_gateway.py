"""Period and jitter of the vehicle gateway's frames, how long a crash takes through it, and what it costs.

    openbms-env python benchmarks/vehicle_gateway.py [--output docs/validation/vehicle-gateway.md]

The node runs in a process of its own, as `ros2 run openbms_drivers vehicle_gateway`, on a socketcand bus;
topics come at the rates of a real pack. This process is the vehicle: it dates every frame as it arrives and
says a crash now and then. Beside it: the same with every core busy.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import can
import numpy as np
import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from processes import Process, claimed_domain
from vcu import Vcu

from openbms_sim.can_hub import CanHub

PERIODS_MS = {0x310: 10, 0x311: 10, 0x312: 10, 0x313: 20, 0x314: 20, 0x315: 20, 0x316: 100}
WARM_UP_S = 3.0


def serve(port: int, end: Any) -> None:
    """Be the bus."""
    hub = CanHub(port=port, channels=("vehicle",))
    hub.start()
    end.wait()
    hub.stop()


def publish(domain: int, end: Any) -> None:
    """Be the pack: limits, state, scan and state of charge at 10 Hz, of 96 cells."""
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    import rclpy

    from openbms_core.ros.interfaces import interface_type, qos_profile, topic_row

    rclpy.init()
    node = rclpy.create_node("pretended_pack", namespace="/bms")
    made = {}
    for name in ("limits", "state", "measurement", "soc"):
        row = topic_row(name)
        made[name] = (
            node.create_publisher(interface_type(row.type), name, qos_profile(row)),
            interface_type(row.type)(),
        )
    for name in ("limits", "state"):
        made[name][1].valid_for.nanosec = 500_000_000
    made["state"][1].state = 3
    made["soc"][1].soc = 0.5
    scan = made["measurement"][1]
    scan.cell_voltages, scan.cell_voltage_validity = [3.7] * 96, bytes(96)
    while not end.wait(0.1):
        for publisher, message in made.values():
            publisher.publish(message)


def listen(domain: int, pipe: Any, end: Any) -> None:
    """Be the driver: date each crash that vehicle_inputs brings (same clock: CLOCK_MONOTONIC)."""
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from openbms_core.ros.interfaces import interface_type, listening, topic_row

    rclpy.init()
    node = rclpy.create_node("pretended_driver", namespace="/bms")
    row, before = topic_row("vehicle_inputs"), [False]

    def received(message: Any) -> None:
        pressed = message.emergency_stop == 1
        if pressed and not before[0]:
            pipe.send(time.monotonic())
        before[0] = pressed

    node.create_subscription(interface_type(row.type), row.name, received, listening(row))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not end.is_set():
        executor.spin_once(timeout_sec=0.1)


def burn(end: Any) -> None:
    """Take a core."""
    while not end.is_set():
        sum(range(20_000))


def join(port: int) -> can.BusABC:
    """Join the bus, as soon as it is there."""
    for _ in range(1200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            break
        time.sleep(0.1)
    return can.Bus(interface="socketcand", channel="vehicle", host="127.0.0.1", port=port, tcp_tune=True)


class Vehicle:
    """Sends its request every 20 ms, presses emergency stop now and then, dates and checks what it hears."""

    def __init__(self, port: int) -> None:
        self.bus, self.vcu = join(port), Vcu()
        self.times: dict[int, list[float]] = defaultdict(list)
        self.broken: Counter[str] = Counter()
        self.pressed_s: list[float] = []
        self.end = threading.Event()
        self._talker = threading.Thread(target=self._talk, daemon=True)

    def _talk(self) -> None:
        started = time.monotonic()
        while not self.end.wait(0.02):
            phase = (time.monotonic() - started - 2.0 * WARM_UP_S) % 2.0
            stop = int(0.0 < phase < 0.5 and time.monotonic() - started > 2.0 * WARM_UP_S)
            if stop and not self.vcu.request["Emergency_Stop"]:
                # not in step with anybody's period
                time.sleep(0.02 * ((len(self.pressed_s) * 7) % 10) / 10.0)
                self.pressed_s.append(time.monotonic())
            self.vcu.request["Emergency_Stop"] = stop
            for frame in self.vcu.frames():
                self.bus.send(
                    can.Message(arbitration_id=frame.identifier, data=frame.data, is_extended_id=False)
                )

    def run(self, seconds: float) -> None:
        """Listen for so long, after the gateway has begun."""
        self._talker.start()
        first_s, until_s = None, time.monotonic() + 120.0
        while time.monotonic() < until_s:
            message = self.bus.recv(0.1)
            if message is None:
                continue
            now_s = time.monotonic()
            if first_s is None:
                first_s, until_s = now_s, now_s + WARM_UP_S + seconds
            if now_s - first_s > WARM_UP_S:
                self.times[message.arbitration_id].append(now_s)
            try:
                self.vcu.hear(message.arbitration_id, bytes(message.data))
            except AssertionError as error:
                self.broken[str(error)] += 1
        self.end.set()
        self._talker.join()
        self.bus.shutdown()


def measure(seconds: float, burners: int) -> tuple[Vehicle, list[float], float]:
    """Give the vehicle, the delays from a stop to its topic [s], and the gateway's share of a core."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    domain, context = claimed_domain(), multiprocessing.get_context("spawn")
    end = context.Event()
    mine, theirs = context.Pipe(duplex=False)
    helpers = [
        context.Process(target=serve, args=(port, end)),
        context.Process(target=publish, args=(domain, end)),
        context.Process(target=listen, args=(domain, theirs, end)),
        *(context.Process(target=burn, args=(end,)) for _ in range(burners)),
    ]
    for helper in helpers:
        helper.start()
    parameters = [
        "can_interface:=socketcand", f"can_port:={port}", "vehicle_channel:=vehicle",
        f"crash_file:={tempfile.mkdtemp()}/crash",
    ]  # fmt: skip
    run = "from openbms_drivers.ros.vehicle_gateway_node import main; main()"
    command = ["python", "-c", run, "--ros-args", "-r", "__ns:=/bms"]
    for parameter in parameters:
        command += ["-p", parameter]
    with Process(command, {"ROS_DOMAIN_ID": str(domain)}) as gateway:
        vehicle = Vehicle(port)
        process = psutil.Process(gateway.process.pid)
        begun_s, begun_cpu_s = time.monotonic(), sum(process.cpu_times()[:2])
        vehicle.run(seconds)
        share = (sum(process.cpu_times()[:2]) - begun_cpu_s) / (time.monotonic() - begun_s)
        arrived = []
        while mine.poll():
            arrived.append(mine.recv())
        gateway.interrupt()
    end.set()
    for helper in helpers:
        helper.join()
    delays = []
    for pressed_s in vehicle.pressed_s:
        after = [moment for moment in arrived if 0.0 <= moment - pressed_s < 1.0]
        if after:
            delays.append(min(after) - pressed_s)
    return vehicle, delays, share


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    idle = os.sched_getscheduler(0) == os.SCHED_IDLE
    policy = "idle: any other program of the computer comes first" if idle else "ordinary"
    load = os.getloadavg()[0]
    crowd = f" Other programs ran: load average {load:.1f} at the start." if load > 1.0 else ""
    rows, notes = [], []
    for name, burners in (("nothing else", 0), (f"{cores} busy processes", cores)):
        vehicle, delays, share = measure(given.seconds, burners)
        for identifier, period_ms in PERIODS_MS.items():
            times_s = np.array(vehicle.times[identifier])
            gaps_ms = 1000.0 * np.diff(times_s)
            late = float(np.mean(gaps_ms > 2.0 * period_ms))
            low_ms, high_ms = np.percentile(gaps_ms, (1, 99))
            rows.append(
                f"| {name} | 0x{identifier:X} | {period_ms} | {len(times_s)} | {gaps_ms.mean():.3f} | "
                f"{gaps_ms.std():.2f} | {low_ms:.1f} to {high_ms:.1f} | "
                f"{gaps_ms.max():.1f} | {100.0 * late:.2f} % |"
            )
            print(rows[-1], flush=True)
        delays_ms = 1000.0 * np.array(delays)
        notes.append(
            f"| {name} | {len(delays_ms)} of {len(vehicle.pressed_s)} | {np.median(delays_ms):.0f} | "
            f"{delays_ms.max():.0f} | {sum(vehicle.broken.values())} | {100.0 * share:.1f} % |"
        )
        print(notes[-1], flush=True)
    text = "\n".join(
        [
            "# Vehicle gateway: period, jitter, delay",
            "",
            f"`benchmarks/vehicle_gateway.py --seconds {given.seconds:g}` wrote this page, on {cores} cores, "
            f"all processes at the same priority ({policy}; no SCHED_FIFO), over the socketcand hub (two "
            "hops of TCP, which a vehicle has not). Times are those of arrival in another process, so its "
            f"own delays are in them.{crowd}",
            "",
            "| Beside it | Frame | Period ms | Frames | Mean gap ms | Standard deviation ms | 1 to 99 % ms | "
            "Longest ms | More than two periods |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
            "",
            "From the moment in which the vehicle says emergency stop (its frame comes every 20 ms) to "
            "`vehicle_inputs` in another process; frames whose counter or checksum was wrong; share of a "
            "core that the gateway's process takes.",
            "",
            "| Beside it | Stops | Median ms | Longest ms | Wrong frames | Core |",
            "|---|---:|---:|---:|---:|---:|",
            *notes,
            "",
        ]
    )
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
