"""The adapters: stores, extracts, columnar work, the command line."""
