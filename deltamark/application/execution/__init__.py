"""How a run goes on: who decides, who runs one task, who records, who is told."""
