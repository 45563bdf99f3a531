"""Stand-in for `spikingjelly.clock_driven` of 0.0.0.0.12: neurons, surrogates, containers, reset_net."""
