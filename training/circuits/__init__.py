"""Analogue circuits: `load_circuit` reads a text netlist, `process` sends volts through it."""

from training.circuits.netlist import Circuit, bundled_circuits, load_circuit
from training.circuits.simulate import ENGINE, SimulationError, process, process_many

__all__ = [
    "ENGINE",
    "Circuit",
    "SimulationError",
    "bundled_circuits",
    "load_circuit",
    "process",
    "process_many",
]
