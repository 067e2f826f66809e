"""The Celery schedule classes, and the questions that any schedule answers. Pure."""
