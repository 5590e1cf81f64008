"""State of health: capacity, resistance and use of every cell and of the pack."""
