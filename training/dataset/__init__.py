"""Datasets: circuits swept over their knobs, recordings of real devices, and one index over both."""
