"""What the benchmarks of the state of health share."""
