"""Experiments on users, read from a server's log: what each arm earned, and whether that may be chance."""
