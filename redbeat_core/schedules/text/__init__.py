"""Text to schedule, and schedule to text. Pure."""
