"""Who leads: the lease, its heartbeat, and what wakes the leader."""
