"""Daly smart BMS over UART or RS-485, and over CAN by the same DBC."""
