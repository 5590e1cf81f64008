"""Mutation testing of ``openbms_control/safety``: change the code in small ways, and see that a test notices.

    mutation.py                 every mutant (hours)
    mutation.py --sample 300    a random sample, the same one for the same seed and code

What nobody noticed (the survivors) is printed with its change and kept, with a reason for each that has one
in ``docs/validation/mutation-reasons.yaml``: keyed by the line that the mutant puts in its place.
Changed texts for people are counted apart: they are no gap of the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCRATCH = ROOT / ".build" / "mutation"
ENVIRONMENT = ROOT / ".build" / "mutation-venv"
VALIDATION = ROOT / "docs" / "validation"
SOURCE = ROOT / "src" / "openbms_control"
# These need ROS, or judge something else.
NOT_TESTS = {"test_nodes.py", "test_reference.py", "test_battery_state.py"}
AGAIN = "again.json"
KILLED, SURVIVED, NO_TESTS, TIMED_OUT = "killed", "survived", "no test", "timed out"
_STATUS = {
    1: KILLED,
    3: KILLED,
    0: SURVIVED,
    5: NO_TESTS,
    33: NO_TESTS,
    36: TIMED_OUT,
    24: TIMED_OUT,
    152: TIMED_OUT,
}

SETTINGS = """\
[mutmut]
source_paths=
    openbms_control
only_mutate=
    openbms_control/safety/*
pytest_add_cli_args_test_selection=
    test
pytest_add_cli_args=
    --import-mode=importlib
    -p
    no:cacheprovider
    -p
    no:xdist
use_git_change_detection=false
"""


def prepare() -> None:
    """Make the environment and a copy of the code that may be changed."""
    if not (ENVIRONMENT / "READY").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        pip = [str(ENVIRONMENT / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(ROOT / "requirements" / "mutation.in")], check=True)
        (ENVIRONMENT / "READY").touch()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    ignore = shutil.ignore_patterns("ros", "__pycache__")
    shutil.copytree(SOURCE / "openbms_control", SCRATCH / "openbms_control", ignore=ignore)
    (SCRATCH / "test").mkdir()
    for path in (SOURCE / "test").rglob("*.py"):
        if path.name not in NOT_TESTS and "ros" not in path.relative_to(SOURCE).parts:
            target = SCRATCH / "test" / path.relative_to(SOURCE / "test")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (SCRATCH / "setup.cfg").write_text(SETTINGS, encoding="utf-8")


def _environment() -> dict[str, str]:
    """Give the environment of mutmut: NumPy and the other packages are found where the workspace has them."""
    packages = next((ENVIRONMENT / "lib").glob("python*/site-packages"))
    paths = [
        packages,
        ROOT / "src" / "openbms_core",
        ROOT / "src" / "openbms_drivers",
        ROOT / "src" / "openbms_sim",
    ]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def mutmut(*arguments: str, quiet: bool = True) -> subprocess.CompletedProcess[str]:
    """Run mutmut over the copy."""
    env, command = _environment(), [sys.executable, "-m", "mutmut", *arguments]
    if quiet:
        return subprocess.run(command, cwd=SCRATCH, env=env, capture_output=True, text=True, check=False)
    return subprocess.run(command, cwd=SCRATCH, env=env, text=True, check=False)


def results() -> dict[str, int | None]:
    """Give every mutant with its exit code; None: not tried."""
    found: dict[str, int | None] = {}
    for path in sorted((SCRATCH / "mutants").rglob("*.meta")):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def again_from_the_start(names: list[str]) -> None:
    """Try survivors again that mutmut cannot switch on: functions that run when their module is imported.

    Such a function is over before mutmut turns its mutant on, and mutmut knows one test of it at most. Here
    each has a process of its own in which the mutant is on from the beginning.
    """
    mutants = SCRATCH / "mutants"
    statistics = json.loads((mutants / "mutmut-stats.json").read_text(encoding="utf-8"))
    tests = statistics["tests_by_mangled_function_name"]
    codes = results()
    found: dict[str, int] = {}
    for name in names:
        if codes[name] in (0, 5, 33) and len(tests.get(name.rpartition("__mutmut_")[0], [])) <= 1:
            env = {**_environment(), "MUTANT_UNDER_TEST": name}
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
                       "--import-mode=importlib", "test"]  # fmt: skip
            done = subprocess.run(command, cwd=mutants, env=env, capture_output=True, check=False)
            found[name] = done.returncode
            print(f"{name}: {'unnoticed' if done.returncode == 0 else 'noticed'}, from the start", flush=True)
    (SCRATCH / AGAIN).write_text(json.dumps(found), encoding="utf-8")


def change_of(name: str) -> tuple[str, str]:
    """Give the line that a mutant takes away and the one that it puts in its place."""
    lines = mutmut("show", name).stdout.splitlines()
    changed = [line for line in lines if re.match(r"[-+](?![-+])", line)]
    taken = " ".join(line[1:].strip() for line in changed if line.startswith("-"))
    put = " ".join(line[1:].strip() for line in changed if line.startswith("+"))
    return taken, put


def is_text(taken: str, put: str) -> bool:
    """Tell whether only the inside of a text has changed."""
    bare = [re.sub(r"\"[^\"]*\"|'[^']*'", '""', line) for line in (taken, put)]
    return bare[0] == bare[1]


def report(names: list[str], total: int, seed: int) -> dict[str, Any]:
    """Sum up what became of these mutants."""
    import yaml

    reasons_file = VALIDATION / "mutation-reasons.yaml"
    reasons = yaml.safe_load(reasons_file.read_text(encoding="utf-8")) if reasons_file.exists() else {}
    codes = results()
    if (SCRATCH / AGAIN).exists():
        codes |= json.loads((SCRATCH / AGAIN).read_text(encoding="utf-8"))
    counts: Counter[str] = Counter()
    survivors = []
    for name in names:
        code = codes[name]
        if code is None:
            counts["not tried"] += 1
            continue
        status = _STATUS.get(code, KILLED)
        if status in (SURVIVED, NO_TESTS):
            taken, put = change_of(name)
            if is_text(taken, put):
                counts["text only"] += 1
                continue
            where = name.rpartition("__mutmut_")[0].replace("xǁ", "").replace("ǁ", ".")
            survivors.append(
                {"where": where, "was": taken, "became": put, "reason": (reasons or {}).get(put, "")}
            )
        counts[status] += 1
    return {
        "mutants": total, "tried": len(names) - counts["not tried"], "seed": seed, "counts": dict(counts),
        "survivors": survivors,
    }  # fmt: skip


def page(result: dict[str, Any], command: str) -> str:
    """Give the report as Markdown."""
    counts = result["counts"]
    judged = (
        counts.get(KILLED, 0) + counts.get(TIMED_OUT, 0) + counts.get(SURVIVED, 0) + counts.get(NO_TESTS, 0)
    )
    noticed = counts.get(KILLED, 0) + counts.get(TIMED_OUT, 0)
    lines = [
        "# Mutation testing of the safety core",
        "",
        f"Printed by `{command}`: {result['tried']} of {result['mutants']} mutants of "
        f"`openbms_control/safety` "
        f"(seed {result['seed']}); {counts.get('text only', 0)} changed only a text for people. Of the other "
        f"{judged}, the tests noticed {noticed} ({100 * noticed / max(judged, 1):.1f} %).",
        "",
        "| Where | Was | Became, unnoticed | Why that is no gap |",
        "|---|---|---|---|",
    ]
    for item in result["survivors"]:
        cells = [item["where"].rpartition("openbms_control.safety.")[2], item["was"], item["became"]]
        quoted = [f"`{cell.replace('|', '¦')}`" for cell in cells]
        lines.append(f"| {' | '.join(quoted)} | {item['reason'] or '**none yet**'} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Mutate, run, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=0, help="so many mutants; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="regular expression that the name of a mutant must hold")
    parser.add_argument("--report-only", action="store_true", help="sum up the last run again")
    arguments = parser.parse_args()
    names_file = SCRATCH / "names.json"
    if not arguments.report_only:
        print("preparing ...", flush=True)
        prepare()
        mutmut("run", "no such mutant")
        names = [name for name in results() if re.search(arguments.only, name)]
        if not names:
            print("mutmut made no mutants; its own words:", file=sys.stderr)
            print(mutmut("run", "no such mutant").stdout[-2000:], file=sys.stderr)
            return 1
        total = len(names)
        if arguments.sample:
            names = sorted(random.Random(arguments.seed).sample(names, min(arguments.sample, total)))
        names_file.write_text(json.dumps({"names": names, "total": total}), encoding="utf-8")
        print(f"{len(names)} of {total} mutants", flush=True)
        mutmut("run", "--max-children", str(arguments.children), *names, quiet=False)
        again_from_the_start(names)
    kept = json.loads(names_file.read_text(encoding="utf-8"))
    result = report(kept["names"], kept["total"], arguments.seed)
    command = "make mutation" + (f" MUTATION_ARGS='--sample {arguments.sample}'" if arguments.sample else "")
    VALIDATION.mkdir(exist_ok=True)
    (VALIDATION / "mutation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (VALIDATION / "mutation.md").write_text(page(result, command), encoding="utf-8")
    print("\n" + page(result, command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
