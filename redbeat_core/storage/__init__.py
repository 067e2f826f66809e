"""Every command that goes to Redis."""
