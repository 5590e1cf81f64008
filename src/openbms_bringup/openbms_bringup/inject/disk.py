"""A disk on which nothing can be written any more, for one process and without harm to the others.

Where the process writes into a file system that is small, the rest of it is filled: the real thing. Otherwise
the process is forbidden to make any file longer (``RLIMIT_FSIZE``): its writes fail at once with EFBIG in
place of ENOSPC, which nobody who handles a write error tells apart. Both end when the returned object is
closed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import psutil

from openbms_core.config_file import ConfigError

__all__ = ["SMALL_BYTES", "FullDisk"]

SMALL_BYTES = 64_000_000
"""What is free on a file system that may be filled."""


class FullDisk:
    """Keep a process from writing its files, until ``close``.

    Parameters
    ----------
    process : psutil.Process
        Whose files.
    folder : Path
        Where it writes.

    Attributes
    ----------
    how : str
        What was done, in one sentence.

    Raises
    ------
    ConfigError
        Neither way is possible here.
    """

    def __init__(self, process: psutil.Process, folder: Path) -> None:
        self._process = process
        self._before: tuple[int, int] | None = None
        self._ballast: Path | None = None
        existing = next(path for path in (folder, *folder.parents) if path.is_dir())
        if shutil.disk_usage(existing).free <= SMALL_BYTES and os.access(existing, os.W_OK):
            self._ballast = existing / ".openbms-ballast"
            self._fill()
            self.how = f"the file system of {existing} is full (ENOSPC)"
            return
        if not sys.platform.startswith("linux"):
            raise ConfigError(
                f"disk_full: {existing} has much room, and the limit on the size of files can be set from "
                "outside on Linux only. Let the process write into a small file system."
            )
        try:
            self._before = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (0, self._before[1]))
        except psutil.Error as error:
            raise ConfigError(
                f"disk_full: the limits of process {process.pid} cannot be set ({error}). Run this as its "
                "user."
            ) from error
        self.how = f"process {process.pid} can make no file longer (EFBIG); {existing} is not really full"

    def _fill(self) -> None:
        assert self._ballast is not None
        with self._ballast.open("wb", buffering=0) as file:
            size = 65536
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def close(self) -> None:
        """Let the process write again."""
        if self._ballast is not None:
            self._ballast.unlink(missing_ok=True)
        if self._before is not None:
            try:
                self._process.rlimit(psutil.RLIMIT_FSIZE, self._before)
            except psutil.Error:
                pass  # the process has ended
        self._before = self._ballast = None
