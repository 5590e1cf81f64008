"""Several packs as one battery: limits, estimates, state, and who may be connected when."""
