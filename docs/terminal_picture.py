"""Make docs/images/run.svg from the real thing: `openbms run` in a terminal of its own, after a while.

Needs pyte (``pip install pyte``), which is not among the project's dependencies::

    .venv/bin/openbms-env python docs/terminal_picture.py [seconds]
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, LINES = 110, 34
PICTURE = Path(__file__).resolve().parent / "images" / "run.svg"
TTY_COLOURS = {"default": None, "brown": "yellow", "brightbrown": "bright_yellow"}


def watch(command: list[str], seconds: float) -> pyte.Screen:
    """Run a command in a terminal and give its screen after some seconds."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            stream.feed(os.read(terminal, 65536))
    os.kill(process, signal.SIGINT)
    os.waitpid(process, 0)
    return screen


def colour(name: str) -> str | None:
    """Translate pyte's name of a colour to rich's."""
    if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name):
        return f"#{name}"
    return TTY_COLOURS.get(name, name.replace("bright", "bright_") if name.startswith("bright") else name)


def main() -> None:
    """Write the picture."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 75.0
    screen = watch(["openbms", "run"], seconds)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    used = max(row for row in range(LINES) if screen.display[row].strip()) + 1
    for row in range(used):
        line = Text()
        for column in range(COLUMNS):
            cell = screen.buffer[row][column]
            line.append(cell.data, Style(color=colour(cell.fg), bgcolor=colour(cell.bg), bold=cell.bold))
        console.print(line, soft_wrap=True)
    PICTURE.parent.mkdir(exist_ok=True)
    console.save_svg(str(PICTURE), title="make run")
    print(f"wrote {PICTURE.name}")


if __name__ == "__main__":
    main()
