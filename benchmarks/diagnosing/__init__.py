"""Simulated packs with faults, and real logs, for the benchmark of the diagnosis."""
