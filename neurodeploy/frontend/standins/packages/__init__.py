"""The stand-ins, laid out as the packages that they stand for."""
