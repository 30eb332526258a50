"""The stored form of events: payloads and digests. What was written once is never changed.

Read `mapper`, then `seals`.
"""
