"""The fault-injection campaign: what is injected, what must follow by when, and what never may."""
