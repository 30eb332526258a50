"""Services that speak SCIM as sources."""
