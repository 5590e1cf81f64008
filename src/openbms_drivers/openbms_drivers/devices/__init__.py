"""One folder for each device: DBC, an example pack file, and code only where those two cannot say it."""
