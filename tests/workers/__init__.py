"""Workers: what is set, processes of this machine, and a cluster of Dask."""
