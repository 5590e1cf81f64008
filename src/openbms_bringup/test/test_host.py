"""Commands of the host: run without a shell, what goes wrong is one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

from openbms_bringup.host import run_on_host


def test_a_command_gets_its_arguments_and_environment_as_they_are(tmp_path: Path) -> None:
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['OPENBMS_X'] + sys.argv[2])"
    out = tmp_path / "a file"
    assert run_on_host([sys.executable, "-c", code, str(out), "$HOME; *"], {"OPENBMS_X": "x "}) == ""
    assert out.read_text() == "x $HOME; *", "no shell has seen it"


def test_what_goes_wrong_is_said() -> None:
    assert "cannot be run (No such file or directory)" in run_on_host(["/no/such/program", "now"])
    assert run_on_host([sys.executable, "-c", "raise SystemExit(3)"]).endswith("ended with exit code 3.")


def test_one_that_does_not_end_is_not_waited_for(tmp_path: Path) -> None:
    # it ends by itself when the file is there, so that nothing is left behind
    code = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)"
    gate = tmp_path / "gate"
    try:
        assert "still running after 0.1 s" in run_on_host(
            [sys.executable, "-c", code, str(gate)], timeout_s=0.1
        )
    finally:
        gate.touch()
