"""Identification: a cell file from test records."""
