"""Proposes the pack file of a DBC, and checks a pack file against its DBC and a log."""
