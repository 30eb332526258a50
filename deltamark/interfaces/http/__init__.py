"""The HTTP interface: the console and the API that `deltamark serve` offers.

It needs the extra `deltamark[web]`. Nothing outside this folder imports it, except the command that starts it.
"""
