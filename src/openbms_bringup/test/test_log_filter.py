"""Which lines of a log reach the terminal."""

from __future__ import annotations

from pathlib import Path

from openbms_bringup.log_filter import LogFilter

LOG = """[INFO] [1700000000.1] [bms.twin]: hello
[WARN] [1700000000.1] [bms.twin]: careful
plain text
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    boom()
ValueError: boom
plain again
openbms: the pack file is wrong
"""


def test_problems_and_whole_tracebacks(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    log = LogFilter(path)
    path.write_text(LOG)
    assert log.new_lines() == [
        "[WARN] [bms.twin]: careful",
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in <module>',
        "    boom()",
        "ValueError: boom",
        "openbms: the pack file is wrong",
    ]
    log.close()


def test_half_a_line_waits_for_its_end_and_repetition_is_quiet(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "log"
    path.touch()
    log = LogFilter(path, clock=lambda: now[0])
    with path.open("a") as file:
        file.write("[ERROR] [1.0] [a]: one")
        file.flush()
        assert log.new_lines() == []
        file.write("\n[ERROR] [2.0] [a]: one\n")
        file.flush()
        assert log.new_lines() == ["[ERROR] [a]: one"]
        now[0] = 31.0
        file.write("[ERROR] [33.0] [a]: one\n")
        file.flush()
        assert log.new_lines() == ["[ERROR] [a]: one"]
    log.close()
