"""What gateways on a CAN bus of their own share: the file, reading and sending by a DBC, the bus thread."""
