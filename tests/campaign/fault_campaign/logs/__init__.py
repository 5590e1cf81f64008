"""Healthy real logs through the monitor: what comes up is explained by the numbers, or it is a false
alarm.
"""

from fault_campaign.logs.part import logs_part

__all__ = ["logs_part"]
