"""Tests of delivering changes to sinks."""
