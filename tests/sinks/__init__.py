"""Tests of the sinks that changes are delivered to."""
