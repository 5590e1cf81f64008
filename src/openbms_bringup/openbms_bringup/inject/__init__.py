"""Faults put into a running system on purpose: what is broken, what ought to happen, what did."""
