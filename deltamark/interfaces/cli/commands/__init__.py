"""The commands: each parses its arguments, calls one use case and renders what that gives."""
