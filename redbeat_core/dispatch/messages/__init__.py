"""Makes the message of one run."""
