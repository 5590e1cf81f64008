"""Healthy hours: big packs in hard but legal use, scan by scan into the monitor. No row may open or latch."""
