"""Meters and battery inverters that speak SunSpec over Modbus TCP: readings in, a power with expiry out."""
