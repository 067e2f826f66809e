"""Decisions about time: which runs are due, missed or skipped. Pure."""
