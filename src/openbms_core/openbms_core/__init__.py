"""What all of OpenBMS shares: pack description, types, limits, fault and topic tables, cell models."""
