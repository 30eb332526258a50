"""Extracts: files of source systems."""
