"""Benchmarks: `make bench`. They compare with the same work done raw, in the same run on the same machine."""
