"""The data of entries in Redis: definition, meta, policy, state and requests. Pure."""
