"""Stand-in for SpikingJelly: `clock_driven`, which version 0.0.0.0.14 renamed."""
