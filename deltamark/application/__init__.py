"""The use cases of Deltamark, on top of ports that a store, extracts and an evaluator implement."""
