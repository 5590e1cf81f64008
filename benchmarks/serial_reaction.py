"""How fast a smart BMS on a serial port is followed, at the pace of the real line.

    openbms-env python benchmarks/serial_reaction.py [--trials 15] [--output serial-reaction.md]

The shipped JBD and Daly pack files, each against a simulated board behind a pseudo-terminal that takes
1.04 ms for a byte (9600 bit/s) and answers 20 ms after the question.
"""

from __future__ import annotations

import argparse
import queue
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from serial_driver import SerialDriver, whole
from smart_bms import DalyBoard, JbdBoard, PortEnd

import openbms_drivers
from openbms_core.pack import load_pack
from openbms_core.types import BusState, PackMeasurement

BYTE_S = 10.0 / 9600.0
ANSWERS_AFTER_S = 0.02
DEVICES = Path(openbms_drivers.__file__).parent / "devices"
BOARDS = {
    "jbd_uart": lambda: JbdBoard([3700 + cell for cell in range(13)], [21.0, 24.5]),
    "daly_uart": lambda: DalyBoard([3700 + cell for cell in range(14)], [21, 25]),
}


def until(driver: SerialDriver, wanted: Callable[[PackMeasurement], bool], limit_s: float = 30.0) -> float:
    """Give when a scan came that is as wanted [s]."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        if wanted(driver.scans.get(timeout=limit_s)[0]):
            return time.monotonic()
    raise AssertionError("no such scan")


def shows(field: str, index: int, value: float, within: float) -> Callable[[PackMeasurement], bool]:
    """Give the test whether a scan has this value."""
    return lambda scan: abs(getattr(scan, field)[index] - value) < within


def drained(driver: SerialDriver) -> float:
    """Throw away what waits; gives now [s]."""
    while True:
        try:
            driver.scans.get_nowait()
        except queue.Empty:
            return time.monotonic()


def measure(name: str, trials: int, folder: Path) -> list[tuple[str, list[float]]]:
    """Give what was measured of one device, each a list of times [s]."""
    pack, board = load_pack(DEVICES / name / "pack.yaml"), BOARDS[name]()
    chance = random.Random(name)

    def answer(pending: bytes) -> tuple[int, bytes]:
        used, data = board.answer(pending)
        if used:
            time.sleep(used * BYTE_S + ANSWERS_AFTER_S)
        return used, data

    port = PortEnd(folder / name, answer, BYTE_S)
    driver = SerialDriver(pack, port)
    currents, cells, silent, pulled, back = [], [], [], [], []
    until(driver, whole)
    for trial in range(trials):
        time.sleep(chance.uniform(0.3, 1.3))
        board.current_a = -1.0 - trial
        begun_s = drained(driver)
        currents.append(until(driver, shows("string_currents_a", 0, board.current_a, 0.05)) - begun_s)
        board.cells_mv = [3700 + cell for cell in range(len(board.cells_mv))]
        board.cells_mv[-1] = 4000 + trial
        begun_s = drained(driver)
        volts = 0.001 * board.cells_mv[-1]
        cells.append(until(driver, shows("cell_voltages_v", -1, volts, 1e-4)) - begun_s)
    asked, answered = driver.bus.exchange.asked, driver.bus.exchange.answered
    print(f"{name}: {asked} questions, {answered} answered", flush=True)
    for _ in range(max(trials // 6, 1)):
        begun_s = drained(driver)
        port.spoil = lambda data: b""
        silent.append(until(driver, lambda scan: scan.bus_state == BusState.SILENT) - begun_s)
        port.spoil = lambda data: data
        until(driver, whole)
        begun_s = drained(driver)
        port.pull()
        pulled.append(until(driver, lambda scan: scan.bus_state == BusState.CONNECTING) - begun_s)
        port.plug()
        begun_s = drained(driver)
        back.append(until(driver, whole) - begun_s)
    driver.stop()
    return [
        ("current changed → scan with the new one", currents),
        ("last cell changed → scan with the new voltage", cells),
        ("board falls silent → bus SILENT, every value BUS_LOST", silent),
        ("plug pulled → every value BUS_LOST", pulled),
        ("plugged in again → everything valid", back),
    ]


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in BOARDS:
            for what, times_s in measure(name, given.trials, Path(folder)):
                ordered = sorted(times_s)
                rows.append(
                    f"| `{name}` | {what} | {len(ordered)} | {ordered[len(ordered) // 2]:.2f} | "
                    f"{ordered[-1]:.2f} |"
                )
                print(rows[-1], flush=True)
    text = "\n".join(
        [
            "# Smart BMS on a serial port: reaction times",
            "",
            f"`benchmarks/serial_reaction.py --trials {given.trials}` wrote this page: shipped pack files, "
            "simulated boards behind a pseudo-terminal at 9600 bit/s that answer 20 ms after a question. A "
            "real board adds the time in which it measures anew (not stated by the makers).",
            "",
            "| Device | From → to | Times | Median s | Longest s |",
            "|---|---|---:|---:|---:|",
            *rows,
            "",
        ]
    )
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
