"""Tools over the operating system: files, processes, the time zone."""
