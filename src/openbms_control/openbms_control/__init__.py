"""Control of OpenBMS: safety monitor, state machine, balancing, thermal, charging and energy."""
