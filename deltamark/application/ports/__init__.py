"""What the use cases need from the outside: a store, extracts, a comparer, a clock."""
