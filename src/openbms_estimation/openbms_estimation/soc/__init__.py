"""State of charge: Kalman filter, coulomb counter, pack figures."""
