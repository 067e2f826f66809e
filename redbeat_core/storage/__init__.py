"""Every command that this project sends to the schedule's Redis."""
