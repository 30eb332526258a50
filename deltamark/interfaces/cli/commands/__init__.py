"""The commands. Each parses its arguments, calls one use case and renders the result."""
