"""The environment of the truth, and the process in it.

PyBaMM stays out of the house's own environment: it needs other versions, and nothing that runs in a vehicle
may lean on it. The first use makes ``.build/truth/venv`` from ``requirements/truth.lock``; its telemetry is
switched off.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".build" / "truth"
HERE = Path(__file__).resolve().parent


def prepare() -> Path:
    """Make the environment where it is not there; give its Python."""
    venv, lock = FOLDER / "venv", ROOT / "requirements" / "truth.lock"
    ready, wanted = venv / "READY", lock.read_text(encoding="utf-8")
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        sys.stdout.write("Installing PyBaMM into .build/truth (once; a minute)\n")
        FOLDER.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(lock)], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return venv / "bin" / "python"


def environment() -> dict[str, str]:
    """Give the variables of the truth's processes: no telemetry, one thread, nothing of the house."""
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
    return {**kept, "PYBAMM_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}


def run(script: str, *arguments: str) -> None:
    """Run one script of this folder in the truth's environment."""
    subprocess.run([str(prepare()), str(HERE / script), *arguments], check=True, env=environment())


class Truth:
    """The worker process; use as a context."""

    def __enter__(self) -> Truth:
        """Start it."""
        self._process = subprocess.Popen(
            [str(prepare()), str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30.0)

    def ask(self, progress: Callable[[int], None] | None = None, **order: Any) -> dict[str, Any]:
        """Send an order and wait for its answer.

        Raises
        ------
        RuntimeError
            The process has ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if not line.startswith("{"):
                continue
            answer: dict[str, Any] = json.loads(line)
            if answer.get("done"):
                return answer
            if progress is not None:
                progress(int(answer["progress"]))
        raise RuntimeError("the PyBaMM process has ended; its error stands above")
