"""Control of OpenBMS: safety monitor, pack state machine, contactors, balancing, thermal, charging and energy management."""
