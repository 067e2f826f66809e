"""The parts of one entry in Redis: definition, meta, policy, state. Pure."""
