"""Analogue circuits: `load_circuit` reads a text netlist, `process` sends volts through it."""

from training.circuits.netlist import Circuit, bundled_circuits, load_circuit
from training.circuits.simulate import SimulationError, process

__all__ = ["Circuit", "SimulationError", "bundled_circuits", "load_circuit", "process"]
