"""Every setting, every key, and the addresses of Redis."""
