"""State of power: advisory current and power limits."""
