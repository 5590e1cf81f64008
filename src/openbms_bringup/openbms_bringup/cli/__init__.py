"""The `openbms` command line."""
