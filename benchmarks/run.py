"""Run every benchmark, or those named; what they print is kept in docs/validation.

Each benchmark is a program of its own that prints a table; speed and accuracy are ratios against an opponent
that runs beside it. Nothing here is asserted: tests assert behaviour, benchmarks measure.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent / "docs" / "validation"


def main() -> int:
    """Run the benchmarks one after the other; give the worst exit code."""
    # these take long or want their own arguments, and write their pages themselves
    apart = ("run", "reaction_time", "soh_pack", "soh_windows", "estimation_speed")
    apart = (*apart, "leaf_logs", "vehicle_gateway")
    own_page = ("can_throughput", "isotp_polling")
    programs = {p.stem: p for p in sorted(HERE.glob("*.py")) if p.stem not in apart}
    names = sys.argv[1:] or list(programs)
    unknown = [name for name in names if name not in programs]
    if unknown:
        print(f"No benchmark {unknown[0]}; there are: {', '.join(programs)}.")
        return 2
    worst = 0
    KEPT.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, 1):
        print(f"\n[{number}/{len(names)}] {name}: {doc_line(programs[name])}", flush=True)
        process = subprocess.Popen([sys.executable, str(programs[name])], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            print(line, end="", flush=True)
            printed.append(line)
        code = process.wait()
        worst = max(worst, abs(code))
        if code == 0 and name not in own_page:
            heading = (
                f"# {name}\n\nPrinted by `make bench BENCH_ARGS={name}` on "
                f"{datetime.now(timezone.utc):%Y-%m-%d}, {platform.machine()}, "
                f"Python {platform.python_version()}.\n"
            )
            (KEPT / f"benchmark-{name}.md").write_text(
                f"{heading}\n```text\n{''.join(printed).strip()}\n```\n"
            )
    return worst


def doc_line(program: Path) -> str:
    """Give the first line of a program's docstring."""
    return program.read_text(encoding="utf-8").partition('"""')[2].partition("\n")[0].strip('" ')


if __name__ == "__main__":
    sys.exit(main())
