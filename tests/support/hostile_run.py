"""Hostile frames, serial bytes, DBCs and logs for as long as one likes; ``make hostile`` runs it.

Every shipped pack in turn with another seed each round; what is found is printed with pack and seed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from itertools import islice
from pathlib import Path

from hostile import damaged, torment
from rich.progress import Progress

from openbms_core.config_file import ConfigError
from openbms_core.pack import load_pack
from openbms_drivers.dbc_file import read_dbc
from openbms_drivers.log.can_log import CanLog

ROOT = Path(__file__).resolve().parents[2]
PACKS = sorted((ROOT / "src/openbms_bringup/config/packs").glob("*.yaml"))
DBCS = sorted((ROOT / "src/openbms_drivers/openbms_drivers/devices").glob("*/*.dbc"))
LOGS = sorted(path for path in (ROOT / "tests/data/can").iterdir() if path.name.startswith(("drive", "two")))
_FRAMES, _FILES = 5000, 20


def frames_round(path: Path, seed: int, counts: Counter[str], found: list[str]) -> None:
    """Torment the driver of one pack."""
    judge, _ = torment(load_pack(path), _FRAMES, seed)
    counts["frames"] += _FRAMES
    counts["values judged"] += judge.judged
    counts["valid"] += judge.valid
    found += [f"{path.stem}, seed {seed}: {text}" for text in judge.problems[:3]]


def files_round(path: Path, folder: Path, seed: int, counts: Counter[str]) -> None:
    """Read damaged copies of a DBC or a log."""
    target = folder / path.name
    kind = "DBCs" if path.suffix == ".dbc" else "logs"
    for data in islice(damaged(path.read_bytes(), random.Random(f"{path.name} {seed}")), _FILES):
        target.write_bytes(data)
        counts[kind] += 1
        try:
            read_dbc(target) if kind == "DBCs" else list(CanLog(target))
        except ConfigError as error:
            counts[f"{kind} refused"] += 1
            assert target.name in str(error) and "\n" not in str(error), error


def main() -> int:
    """Run; 1 where something was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    found: list[str] = []
    seed, began_s = options.seed, time.monotonic()
    with Progress(transient=True) as bar, tempfile.TemporaryDirectory() as folder:
        task = bar.add_task("hostile input", total=options.seconds)
        while time.monotonic() - began_s < options.seconds:
            for path in (*PACKS, *DBCS, *LOGS):
                try:
                    if path in PACKS:
                        frames_round(path, seed, counts, found)
                    else:
                        files_round(path, Path(folder), seed, counts)
                except Exception:
                    found.append(f"{path.name}, seed {seed}: {traceback.format_exc()}")
                bar.update(task, completed=time.monotonic() - began_s)
                if time.monotonic() - began_s > options.seconds:
                    break
            seed += 1
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{len(PACKS)} packs, seeds {options.seed} to {seed - 1}, {options.seconds:.0f} s: {said}; "
          f"{len(found)} things found")  # fmt: skip
    print("\n".join(found[:20]))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
