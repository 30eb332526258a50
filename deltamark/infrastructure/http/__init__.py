"""Talking to servers by HTTP; read `client` first."""
