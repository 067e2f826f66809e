"""Computes the occurrences of recurrence rules and crontabs. Pure; defines no Celery class."""
