"""The log as the event-sourcing library reads it."""
