"""Real logs of Nissan Leaf batteries through ``openbms can replay``, against what others decoded from them.

    openbms-env python benchmarks/leaf_logs.py [--data FOLDER]

Neither logs nor truth are in the project: ``FOLDER`` (default: ``OPENBMS_REFERENCE_DATA``, or ``shared/data``
beside the checkout) holds ``can/<log>.candump.log.gz``, ``can/<log>.decoded.parquet`` (current and voltage of
each 0x1DB frame, state of charge of 0x55B by the community's DBC) and ``can/<log>.cells.parquet`` (cells of
each answer to the polls of whoever made the log). Writes ``docs/validation/leaf-logs.md``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from openbms_core.pack import load_pack
from openbms_core.types import Validity
from openbms_drivers.log.can_log import CanLog
from openbms_drivers.log_replay import LogReplay
from openbms_drivers.pack_driver import PackDriver

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "validation" / "leaf-logs.md"
LOGS = {
    "leaf62_eplus2": "nissan_leaf_62kwh",
    "leaf62_startup": "nissan_leaf_62kwh",
    "env200_40_charge": "nissan_leaf_40kwh",
}
CELLS = 96


@dataclass
class Difference:
    """Values that both have, and by how much they differ at most; values that only one has."""

    compared: int = 0
    largest: float = 0.0
    only_here: int = 0
    only_there: int = 0

    def add(self, here: np.ndarray, there: np.ndarray) -> None:
        """Compare element by element; NaN is no value."""
        mine, theirs = np.isfinite(here), np.isfinite(there)
        both = mine & theirs
        self.compared += int(both.sum())
        self.only_here += int((mine & ~theirs).sum())
        self.only_there += int((theirs & ~mine).sum())
        if both.any():
            self.largest = max(self.largest, float(np.abs(here[both] - there[both]).max()))

    def __str__(self) -> str:
        """Give it as two columns of the page."""
        alone = f", {self.only_here} only here, {self.only_there} only there"
        return f"{self.compared}{alone if self.only_here or self.only_there else ''} | {self.largest:.2g}"


def compare(log: Path, pack: str) -> dict[str, Difference]:
    """Compare each value of each frame, and each cell of each answer."""
    driver = PackDriver(load_pack(pack), listen_only=True)
    table, replay = driver.decoder.table, LogReplay(driver)
    slots = {
        "current [A]": table.slot("string_current_a", 0), "voltage [V]": table.slot("string_voltage_v", 0),
        "state of charge [%]": table.slot("reported_soc", 0),
    }  # fmt: skip
    cells = table.slots("cell_voltage_v")
    seen: list[list[float]] = []
    rounds: list[list[float]] = []
    newest_s = -math.inf
    for frame in CanLog(log):
        replay.feed(frame)
        if frame.key == 0x1DB:
            seen.append(
                [table.values[s] if table.outcome[s] == Validity.VALID else math.nan for s in slots.values()]
            )
        if table.good_at[cells.start] > newest_s:
            newest_s = table.good_at[cells.start]
            rounds.append(list(table.values[cells]))
    truth = pq.read_table(log.with_name(log.name.replace("candump.log.gz", "decoded.parquet"))).to_pydict()
    here = np.array(seen)
    there = np.array([truth["current_a"], truth["pack_voltage_v"], truth["soc_bms_pct"]], float).T
    if here.shape != there.shape:
        raise RuntimeError(f"{log.name}: {len(here)} frames of 0x1DB here, {len(there)} in the truth")
    found = {}
    for number, name in enumerate(slots):
        found[name] = Difference()
        found[name].add(here[:, number] * (100.0 if "charge" in name else 1.0), there[:, number])
    of_cells = log.with_name(log.name.replace("candump.log.gz", "cells.parquet"))
    if of_cells.is_file():
        polled = pq.read_table(of_cells).to_pydict()
        expected = np.array([polled[f"c{cell + 1:02d}_v"] for cell in range(CELLS)], float).T
        if len(rounds) != len(expected):
            raise RuntimeError(f"{log.name}: {len(rounds)} answers here, {len(expected)} in the truth")
        found["cells [V]"] = Difference()
        found["cells [V]"].add(np.array(rounds), expected)
    return found


def told(log: Path, pack: str) -> dict[str, object]:
    """Run the command."""
    command = shutil.which("openbms") or "openbms"
    run = subprocess.run(
        [command, "can", "replay", str(log), "--pack", pack, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if run.returncode:
        raise RuntimeError(f"openbms can replay {log.name}: {run.stderr}")
    found: dict[str, object] = json.loads(run.stdout)
    return found


def main() -> int:
    """Compare, print, write the page; 2 where the logs are not here."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    beside = ROOT.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OPENBMS_REFERENCE_DATA", beside)))
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args()
    folder = options.data / "can"
    if missing := [name for name in LOGS if not (folder / f"{name}.candump.log.gz").is_file()]:
        print(f"{folder} has no {missing[0]}.candump.log.gz: give the folder with --data.", file=sys.stderr)
        return 2
    counts, values = [], []
    for name, pack in LOGS.items():
        log = folder / f"{name}.candump.log.gz"
        said = told(log, pack)
        keys = ("frames", "decoded", "refused", "of_polls", "answers_to_polls", "not_mapped", "foreign")
        counts.append(f"| {name} | `{pack}` | " + " | ".join(str(said[key]) for key in keys) + " |")
        print(counts[-1], flush=True)
        for quantity, difference in compare(log, pack).items():
            values.append(f"| {name} | {quantity} | {difference} |")
            print(values[-1], flush=True)
    lines = [
        "# Real logs of Nissan Leaf batteries",
        "",
        "`benchmarks/leaf_logs.py` wrote this page. The logs (community, github.com/dalathegreat/EV-CANlogs) "
        "and what others decoded from them are not in the project. *eplus2*, *startup*: a Leaf of 62 kWh; "
        "*env200*: an e-NV200 of 40 kWh that is charged.",
        "",
        "`openbms can replay LOG --pack PACK --json`:",
        "",
        "| Log | Pack | Frames | Decoded | Refused | Of polls | Answers | In the DBC, not mapped | Foreign |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        *counts,
        "",
        "Every value of every frame, and every cell of every answer, against the truth:",
        "",
        "| Log | Value | Compared | Largest difference |",
        "|---|---|---:|---:|",
        *values,
        "",
        "*Refused*: a checksum or counter that does not fit; counters of a car stand still while the battery "
        "wakes, and logs have gaps of their own. A value that only one side has: while the battery wakes, "
        "where the truth leaves out what stands beside a value that is not available, or holds the last one.",
        "",
    ]
    options.output.write_text("\n".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
