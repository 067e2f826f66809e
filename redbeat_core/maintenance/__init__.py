"""The leader's work beside dispatching: static entries, reconciliation, finished entries."""
