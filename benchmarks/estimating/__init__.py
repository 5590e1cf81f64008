"""Opponents of the SoC filters."""
