"""Elects the leader by a lease, reports health, and wakes the leader on events."""
