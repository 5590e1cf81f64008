"""Recorded CAN traffic: every kind of log file becomes the same frames, by the log's own time."""
