"""Runs what is due: from a claim, over the plan and the messages, to a commit."""
