"""Looking after a parked pack: memory on disk, the wake of the computer, the check itself."""
