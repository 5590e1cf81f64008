"""Device drivers of OpenBMS: analog front ends and gateways over CAN, one folder per device."""
