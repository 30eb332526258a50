"""Configuration: XML files and `deltamark.toml`."""
