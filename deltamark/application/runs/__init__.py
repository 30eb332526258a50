"""What every kind of run uses: the record of the run, the leases of its tasks, its observer.

Read `run_log`, then `leases`.
"""
