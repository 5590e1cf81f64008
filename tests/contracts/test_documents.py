"""What the documents say is there: links, files, examples; and nothing of the machine they came from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from openbms_core.cell import load_cell
from openbms_core.models.ecm import CellModel
from openbms_core.resources import find_resource

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {"build", "install", "log", "node_modules"}


def _files(pattern: str) -> list[Path]:
    """Give the committed files of a kind (all of them where this is no git checkout)."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--", pattern], capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        found = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        found = [
            path
            for path in ROOT.rglob(pattern)
            if not any(part in IGNORED or part.startswith(".v") for part in path.relative_to(ROOT).parts)
        ]
    return sorted(path for path in found if path.is_file())


DOCUMENTS = _files("*.md")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# A path in backticks that begins with a folder of the project, without placeholders
NAMED = re.compile(r"`((?:src|docs|tests|tools|benchmarks|config|launch|requirements)/[\w./-]+)`")


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+?)\s*$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_documents() -> None:
    assert {"README.md", "SAFETY.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {
        _name(path) for path in DOCUMENTS
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    dead = []
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            dead.append(target)
    assert not dead


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = set(NAMED.findall(path.read_text(encoding="utf-8")))
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]


def test_every_package_has_a_readme_with_its_limits() -> None:
    packages = [path.parent for path in _files("*package.xml")]
    assert len(packages) >= 9
    for package in packages:
        readme = package / "README.md"
        assert readme.is_file(), f"{package.name} has no README.md"
        text = readme.read_text(encoding="utf-8")
        if (package / package.name / "ros").is_dir():
            for word in ("Subscribes", "Publishes", "Parameters", "Limits of validity"):
                assert re.search(word, text, re.I), f"{_name(readme)} says nothing about: {word}"


def test_every_how_to_and_decision_is_reached_from_somewhere() -> None:
    linked = {
        (path.parent / target.partition("#")[0]).resolve()
        for path in DOCUMENTS
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target)
    }
    lonely = [
        _name(path)
        for path in DOCUMENTS
        if path.parent.name in ("how-to", "adr") and path.name != "README.md" and path not in linked
    ]
    assert not lonely, "nothing links to them"


def test_no_committed_file_names_a_folder_of_somebodys_machine() -> None:
    home = re.compile(r"(?<![\w.])/(?:home/[a-z]\w*|root|Users/\w+|work)/")
    for path in _files("*"):
        if path.suffix in (".parquet", ".png", ".lock") or path == Path(__file__).resolve():
            continue
        found = home.search(path.read_text(encoding="utf-8", errors="replace"))
        assert found is None, f"{_name(path)} names {found[0] if found else ''}"


def _block(document: str, language: str) -> str:
    text = (ROOT / "docs" / "how-to" / document).read_text(encoding="utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    assert found is not None, f"{document} has no block of {language}"
    return found[1]


def test_the_cell_of_the_how_to_is_a_good_one(tmp_path: Path) -> None:
    file = tmp_path / "my_cell.yaml"
    file.write_text(_block("add-a-cell.md", "yaml"))
    assert CellModel.from_file(load_cell(file)).capacity_ah == 2.78


def test_the_estimator_of_the_how_to_runs() -> None:
    from openbms_core.resources import find_config
    from openbms_estimation.log_file import read_cell_log
    from openbms_estimation.soc.estimate import Quality, SocSample

    names: dict[str, object] = {}
    exec(_block("add-an-estimator.md", "python"), names)
    model = CellModel.from_file(load_cell(find_config("cells", "lg_hg2")))
    log = read_cell_log(find_resource("package://openbms_sim/data/lg_hg2_25degC_mixed.parquet", ROOT / "x"))
    estimator = names["VoltageOnly"](model, 1)  # type: ignore[operator]
    for row in range(0, 2000, 10):
        here = slice(row, row + 1)
        estimate = estimator.step(
            SocSample(1.0, log.current_a[here], log.voltage_v[here], log.temperature_degc[here])
        )
    assert log.ah is not None and log.capacity_ah is not None
    truth = 1.0 + log.ah[1990] / log.capacity_ah
    assert abs(estimate.soc[0] - truth) < 0.1
    blind = estimator.step(SocSample(1.0, np.nan, np.array([np.nan]), 25.0))
    assert blind.quality[0] == Quality.VOLTAGE_MISSING
    assert blind.soc[0] == estimate.soc[0]
