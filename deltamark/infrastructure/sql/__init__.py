"""Databases as sources: queries read as a whole, or by a watermark what changed.

Read `source` first.
"""
