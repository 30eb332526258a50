"""How long changes are kept, and the erasure of a resource."""
