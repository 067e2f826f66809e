"""The Celery schedule classes, and functions for the runs of any schedule. Pure."""
