"""Actuators on a bus of their own: charger, pump, fan, heater, chiller: what they are told, who obeys."""
