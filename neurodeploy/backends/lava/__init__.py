"""Runs mapped graphs as stock Lava processes, in a worker process with a Python of its own."""
