"""The operator's console for a schedule kept in Redis."""
