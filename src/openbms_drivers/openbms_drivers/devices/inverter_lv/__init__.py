"""Low-voltage inverters over CAN: the battery's side of the protocol family of Pylontech, SMA and Victron."""
