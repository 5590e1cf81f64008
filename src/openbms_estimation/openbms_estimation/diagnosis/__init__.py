"""Diagnosis of cells and sensors: which fault would explain what one cell does unlike the others."""
