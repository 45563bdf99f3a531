"""Runs a network folder as stock Lava processes; needs lava-nc 0.10.0 alone, and travels with the folder."""
