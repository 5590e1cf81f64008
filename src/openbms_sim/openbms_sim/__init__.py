"""Digital twin of OpenBMS: pack plant, fault injection, replay of test data, a CAN bus hub and an analog front end that speaks like the real one."""
