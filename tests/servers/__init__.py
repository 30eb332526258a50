"""Tests on real servers, which `make servers` installs: a Samba domain controller, slapd.

They are `slow`. Where a server is missing they are skipped, or fail if DELTAMARK_SERVERS is `required`.
"""
