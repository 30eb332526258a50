"""Reading LDAP directories: sessions, controls, values, Active Directory by DirSync, others by RFC 4533."""
