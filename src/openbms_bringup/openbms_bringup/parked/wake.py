"""Have the computer woken: the alarm of a real-time clock, or a command of the host."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from openbms_bringup.host import run_on_host
from openbms_core.config_file import ConfigError

__all__ = ["Wake", "parse_duration", "parse_wake"]

_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_RTC = Path("/sys/class/rtc/rtc0")


def parse_duration(text: str, option: str) -> float:
    """Read a time such as ``90``, ``15min``, ``6h`` or ``1d``; give seconds.

    Raises
    ------
    ConfigError
        It is none, or not above 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)?", text.strip())
    seconds = float(found[1]) * _UNITS_S[found[2] or "s"] if found else 0.0
    if seconds <= 0.0:
        raise ConfigError(f"{option} is '{text}': give a time above 0 such as 900, 15min, 6h or 1d.")
    return seconds


@dataclass(frozen=True)
class Wake:
    """A way to be woken.

    Attributes
    ----------
    rtc : Path or None
        Folder of a real-time clock in sysfs.
    command : str
        Command with ``{seconds}`` in it; empty: none.
    """

    rtc: Path | None = None
    command: str = ""

    def arm(self, seconds: float) -> tuple[bool, str]:
        """Have the computer woken after this time.

        Parameters
        ----------
        seconds : float
            From now [s].

        Returns
        -------
        armed : bool
        text : str
            What was done, or why it could not be, in one sentence; empty where nothing is wanted.
        """
        whole = max(round(seconds), 1)
        if self.rtc is not None:
            return self._arm_clock(self.rtc / "wakealarm", whole)
        if self.command:
            problem = run_on_host(
                [part.replace("{seconds}", str(whole)) for part in shlex.split(self.command)]
            )
            return not problem, problem or f"the next wake is in {whole} s ({self.command.split()[0]})."
        return False, ""

    @staticmethod
    def _arm_clock(alarm: Path, seconds: int) -> tuple[bool, str]:
        try:
            # an alarm that is set must be taken back first; a leading plus counts from now, so that the time
            # zone of the clock does not matter (kernel: Documentation/ABI/testing/rtc-cdev, sysfs-class-rtc)
            alarm.write_text("0\n")
            alarm.write_text(f"+{seconds}\n")
        except PermissionError:
            return False, (
                f"{alarm}: not permitted, so that nobody wakes this computer. Run as root, allow this user "
                "to write it (udev rule), or use a systemd timer with WakeSystem=true."
            )
        except OSError as error:
            return False, f"{alarm}: the alarm cannot be set ({error.strerror}). Name another clock."
        return True, f"the next wake is in {seconds} s ({alarm})."


def parse_wake(text: str, option: str) -> Wake:
    """Read how to be woken.

    Parameters
    ----------
    text : str
        ``none``; ``rtc`` or ``rtc:FOLDER``; or a command with ``{seconds}`` in it.
    option : str
        Name of the option, for the message.

    Raises
    ------
    ConfigError
        It is none of these.
    """
    if text in ("", "none"):
        return Wake()
    if text == "rtc" or text.startswith("rtc:"):
        return Wake(rtc=Path(text[4:]) if text[4:] else _RTC)
    if "{seconds}" not in text:
        raise ConfigError(
            f"{option} is '{text}': give none, rtc, rtc:/sys/class/rtc/rtc1, or a command that holds "
            "{seconds}."
        )
    return Wake(command=text)
