"""When things occur: recurrence rules, crontabs, time zones. Pure; no Celery class."""
