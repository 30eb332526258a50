"""Carries out a run: starts, resumes and cancels it, and executes its tasks.

Read `run_job`, then `executor`, then `task_types`.
"""
