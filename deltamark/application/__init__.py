"""The use cases of Deltamark, on top of ports for the store, extracts and evaluation."""
