"""What Redis holds of one entry: definition, meta, policy, state. Pure."""
