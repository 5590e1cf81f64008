"""JBD (Jiabaida, Overkill Solar, LLT, Xiaoxiang) smart BMS over UART, RS-485 or RS-232."""
