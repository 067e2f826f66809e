"""Parses, formats, describes and previews schedules. Pure."""
