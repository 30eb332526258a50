"""The reading of LDAP directories, as far as it needs no server; tests/servers has the rest."""
