"""Folders of files as sources: they are copied whole, and not at all where none of them changed.

Read `copied` first.
"""
