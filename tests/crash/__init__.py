"""Whatever happens to a run, a task happened whole or not at all, and the next run puts everything right."""
