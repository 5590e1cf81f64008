"""Digital twin of OpenBMS: pack plant, fault injection, replay, CAN hub and a simulated front end."""
