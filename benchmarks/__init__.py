"""Benchmarks: `make bench`. Ratios against the same work done raw, in the same run on the same machine."""
