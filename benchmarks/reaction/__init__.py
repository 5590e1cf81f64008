"""What benchmarks/reaction_time.py is made of."""
