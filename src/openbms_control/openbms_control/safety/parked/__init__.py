"""Looking after a pack while it is parked: two snapshots in, a verdict out. No contactor is ever moved."""
