"""Tests of traces of runs."""
