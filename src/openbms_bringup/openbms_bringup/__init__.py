"""Launch files, configuration, command line and process supervision of OpenBMS."""
