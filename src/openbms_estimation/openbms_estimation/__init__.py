"""Estimators of OpenBMS: state of charge, state of health, power limits and cell diagnosis."""
