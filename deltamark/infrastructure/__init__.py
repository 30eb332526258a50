"""The adapters: store, extracts, comparison, evaluation, and the tools that they share."""
