"""Export to SANA-FE: its architecture file, its network file, and a program that runs them.

SANA-FE is under the GPL and is imported by no module here: the exported folder runs where somebody has installed it.
"""
