"""Telling people of runs and schedules: what they are told of, and sending it. Read `notify` first."""
