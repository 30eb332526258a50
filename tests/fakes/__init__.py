"""Fakes of the ports, for use cases that are tested alone: each keeps just what a test tells it, in plain Python."""
