"""Rows of the processes themselves: driver, monitor, estimator, configuration, fault record."""

from __future__ import annotations

from openbms_core.fault_rows.row import AT_ONCE, BLOCKS, OPENS, Action, FaultRow, Timing, single
from openbms_core.types import Level

__all__ = ["SYSTEM_ROWS"]

SYSTEM_ROWS: list[FaultRow] = [
    single("DRIVER_LOST", "measurement_age", Timing(0.0, 0.0, 2.0),
            "No measurement arrives: the driver process is gone or stuck.", OPENS,
            "Look at the driver's log; it is restarted by the supervisor.", comparison="above", unit="s",
            by_clock=True, at_start=False),
    single("DRIVER_RESTARTED", "driver_restarted", AT_ONCE,
            "The driver started anew while contactors were closed.", OPENS,
            "Request the state again; look at the driver's log for the reason.",
            action=Action.OPEN | Action.OPEN_AT_ONCE),
    # what is repeated is not measured: nothing is watched any more, as if the driver were gone
    single("SCAN_NOT_ADVANCING", "scan_repeated", Timing(0.5, 0.0, 2.0),
            "The driver gives the same scan again and again.", OPENS,
            "Look at the driver's log; it is restarted by the supervisor.", by_clock=True, at_start=False),
    single("ESTIMATOR_LOST", "estimator_age", Timing(0.0, 0.0, 3.0),
            "No fresh power limits: the estimator is gone or stuck.",
            "Limp-home limits of the pack file apply; when their time is over the pack is shut down at "
            "zero current.",
            "Look at the log of the bms process; it is restarted by the supervisor.", level=Level.RECOMMENDED,
            action=Action.NONE, unit="s", by_clock=True, at_start=False),
    single("LIMP_HOME_EXPIRED", "limp_home_expired", AT_ONCE,
            "The estimator stayed away for longer than the pack file allows.",
            "The pack was shut down at zero current; closing is refused until power limits are fresh again.",
            "Bring the bms process back.", level=Level.RECOMMENDED, action=Action.BLOCK_CLOSING,
            by_clock=True),
    single("CONFIG_MISMATCH", "config_mismatch", Timing(0.0, 0.0, 2.0),
            "Driver and monitor run with different pack or cell files.", OPENS,
            "Start both with the same pack file.", by_clock=True),
    # Ages, deadlines and expiry follow the monotonic clock, so that nothing depends on it but the times in
    # records: it informs, and stays until somebody has seen it.
    single("CLOCK_JUMP", "clock_step", Timing(0.0, 0.0, 2.0),
            "The system clock was set while the monitor ran: times in records before and after do not fit.",
            "For information: protection follows another clock.",
            "None, if somebody or the network set the clock on purpose; clear this fault.",
            level=Level.OPERATING, comparison="above", limit="clock_step_max_s", unit="s",
            action=Action.NONE, latched=True, by_clock=True),
    # the driver has opened by itself when commands expired: closing again without precharge must not happen
    single("MONITOR_LATE", "monitor_gap", AT_ONCE,
            "The safety monitor did not run in time, so that its commands expired in the driver.",
            OPENS, "The computer is overloaded or was suspended; give the safety process a better priority.",
            comparison="above", unit="s", action=Action.OPEN | Action.OPEN_AT_ONCE, by_clock=True),
    # its commands expired in the driver: the contactors opened without the zero-current sequence
    single("MONITOR_DIED", "monitor_died", Timing(0.0, 0.0, 10.0),
            "The safety monitor died or lost its power while contactors were closed.",
            "For the record: the contactors opened by expiry; nothing closes unasked.",
            "Look at the log of the safety process, then clear this fault.", level=Level.RECOMMENDED,
            action=Action.NONE, latched=True, by_clock=True),
    single("FAULT_RECORD_CORRUPT", "record_corrupt", Timing(0.0, 0.0, 10.0),
            "The fault record could not be read: latched faults may have been lost.", BLOCKS,
            "Check the pack, then clear this fault. The unreadable file was kept beside the record.",
            level=Level.RECOMMENDED, action=Action.BLOCK_CLOSING, latched=True, by_clock=True),
    single("FAULT_RECORD_NOT_WRITTEN", "record_not_written", Timing(0.0, 0.0, 10.0),
            "The fault record cannot be written: faults would be forgotten at a restart.", "Warning.",
            "Check free space and permissions of the record's folder.", level=Level.RECOMMENDED,
            action=Action.NONE,
            by_clock=True),
]  # fmt: skip
