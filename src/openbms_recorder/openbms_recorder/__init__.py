"""Local data of OpenBMS: recording, recovery, retention and history."""
