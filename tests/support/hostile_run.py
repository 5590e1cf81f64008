"""Hostile frames, serial bytes, DBCs and logs for as long as one likes; ``make hostile`` runs it.

Every shipped pack in turn with another seed each round; what is found is printed with pack and seed.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from datetime import datetime, timezone
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
_PAGE = """# Hostile frames, answers and files

Printed by `make hostile` on {date}, {machine}, Python {python}:

```text
{line}
```

Every shipped pack gets frames with any identifier, length (0 to 64 bytes) and kind (remote, error, CAN FD),
random content with right checksums, and garbage on the identifiers of its ISO-TP polls; DBCs and logs are
damaged byte by byte and line by line. Found would be: an exception; a value that is marked valid and is no
finite number, lies outside of the pack file's range, or was said by no frame within its maximum age (by
cantools); a file that is neither read nor refused in one sentence that names it. That such values are found
is tested (`src/openbms_drivers/test/test_hostile_frames.py`).
"""


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
    parser.add_argument("--output", type=Path, help="write the page with the result here")
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
    line = (
        f"{len(PACKS)} packs, seeds {options.seed} to {seed}, {options.seconds:.0f} s: {said}; "
        f"{len(found)} things found"
    )
    print(line)
    print("\n".join(found[:20]))
    if options.output is not None:
        options.output.write_text(
            _PAGE.format(
                date=f"{datetime.now(timezone.utc):%Y-%m-%d}", machine=platform.machine(),
                python=platform.python_version(), line=line,
            ),
            encoding="utf-8",
        )  # fmt: skip
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
