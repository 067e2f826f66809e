"""The schedule as the console knows it, kept current by events. Pure."""
