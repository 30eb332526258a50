"""Tests of telling people of runs and schedules."""
