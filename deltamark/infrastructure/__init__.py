"""The adapters: the store, extracts, comparison and evaluation, and the tools that they share."""
