"""Results of verifying and replaying the log, and checkpoints of it."""
