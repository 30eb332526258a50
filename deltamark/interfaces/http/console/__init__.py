"""The console: pages that are rendered here and can be read without JavaScript.

Read `pages` for what each shows, `rendering` for how values, times and addresses are written, then `templates`.
"""
