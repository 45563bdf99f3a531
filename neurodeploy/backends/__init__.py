"""Executors of one network, all with the same integers."""
