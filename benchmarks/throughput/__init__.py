"""Parts of the throughput benchmark: bits on the wire, traffic, links, and the receiving process."""
