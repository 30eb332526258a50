"""The rules of Deltamark: pure data and decisions, no input or output."""
