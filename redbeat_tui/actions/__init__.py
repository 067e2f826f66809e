"""Every action of the console: its key, and what it does."""
