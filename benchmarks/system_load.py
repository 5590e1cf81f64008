"""CPU and memory of each process of the demonstration, over a minute of replay on a real bus."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

DURATION_S = 60


def main() -> None:
    """Run the demonstration as a user does and print its summary."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder, "summary.json")
        command = [
            "-m",
            "openbms_bringup.cli.main",
            "run",
            "--duration",
            str(DURATION_S),
            "--summary",
            str(summary),
        ]
        subprocess.run(
            [sys.executable, *command, "--data-dir", folder],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=180,
        )
        result = json.loads(summary.read_text(encoding="utf-8"))
    print(f"{'process':12s} {'CPU %':>8s} {'memory MB':>10s}")
    for name, process in result["processes"].items():
        print(f"{name:12s} {process['cpu_percent']:8.1f} {process['memory_mb']:10.1f}")
    print(f"{'together':12s} {result['cpu_percent']:8.1f} {result['memory_mb']:10.1f}")
    print(
        f"start to first estimate {result['startup_s']:.1f} s; "
        f"scans {result['scans']}, lost {result['scans_lost']}"
    )


if __name__ == "__main__":
    main()
