"""The API: its routes, by what they are about."""
