"""The model files of Automated-GuitarAmpModelling, the trainer of Proteus, NeuralPi and BYOD (.json).

Layout: `model_data` describes the network, `state_dict` holds PyTorch's own weights. `skip` 1 says that the dry input
is added to the output. The trainer leaves out the rate; BYOD looks for `sample_rate` in `model_data`.
"""

from typing import Any

from export import rtneural
from training.errors import InputError
from training.model_file import Model

LOADED = "Proteus and BYOD load an lstm-40 with at most one knob, NeuralPi an lstm-20 with at most two"
MAXIMUM_KNOB_COUNTS = {"lstm-40": 1, "lstm-20": 2}
PROTEUS_SAMPLE_RATE_HZ = 44_100


def document(model: Model) -> dict[str, Any]:
    """The JSON document of `model`. Raises InputError, one line, for a model that the format or no player has."""
    network = model.recurrent
    if network.layers > 1 or network.knob_count > max(MAXIMUM_KNOB_COUNTS.values()):
        raise InputError(f"{model.name}: no player has a {network.name} of {network.knob_count} knobs; {LOADED}")
    if network.residual not in (0, 1):
        raise InputError(
            f"{model.name}: adds {network.residual:g} times the dry signal; Proteus's files can say 0 or 1"
        )
    described = {
        "model": "SimpleRNN",
        "input_size": 1 + network.knob_count,
        "skip": int(network.residual),
        "output_size": 1,
        "unit_type": network.unit.upper(),
        "num_layers": 1,
        "hidden_size": network.hidden_size,
        "bias_fl": True,
        "sample_rate": model.sample_rate_hz,
    }
    state = {
        key.replace("recurrent.", "rec.").replace("head.", "lin."): weights.detach().cpu().tolist()
        for key, weights in network.state_dict().items()
    }
    return {"model_data": described, "state_dict": state, "metadata": rtneural.metadata(model)}


def warning(model: Model) -> str | None:
    """Which players will not play `model` as it is meant."""
    network = model.recurrent
    if network.knob_count > MAXIMUM_KNOB_COUNTS.get(network.name, -1):
        return f"{LOADED}; this {network.name} of {network.knob_count} knobs is for other players of the format"
    if not network.residual:
        return "Proteus, NeuralPi and BYOD add the dry signal whatever the file says; this model leaves it out"
    if network.name == "lstm-40" and model.sample_rate_hz != PROTEUS_SAMPLE_RATE_HZ:
        return f"Proteus plays every model at {PROTEUS_SAMPLE_RATE_HZ} Hz, this one is for {model.sample_rate_hz} Hz"
    if network.name == "lstm-20":
        return f"NeuralPi plays at its host's rate: set the host to {model.sample_rate_hz} Hz"
    return None
