"""The settings, the names of the Redis keys, and the addresses of Redis."""
