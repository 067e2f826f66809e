"""Decides which runs are due, missed or skipped, and when an entry runs next. Pure."""
