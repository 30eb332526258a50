"""LDIF files (RFC 2849) as sources.

Read `source` first.
"""
