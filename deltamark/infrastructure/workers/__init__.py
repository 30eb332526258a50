"""Workers: processes of this machine, and those of a scheduler of Dask."""
