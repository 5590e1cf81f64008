"""`openbms can replay`: a log through the driver and the safety core, into a table, or onto a bus."""
