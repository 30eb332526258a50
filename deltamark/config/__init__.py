"""Where settings, configuration files and user functions come from.

Read `settings` and `files`; `xml` has the language of the files.
"""
