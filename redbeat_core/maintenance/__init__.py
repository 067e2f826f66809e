"""What the leader does beside dispatching."""
