"""Proposing a configuration for files of which nothing is known yet.

Read `propose` first.
"""
