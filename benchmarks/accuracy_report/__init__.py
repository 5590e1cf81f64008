"""Parts of `make accuracy`."""
