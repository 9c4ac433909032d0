"""From `model.pt` to what a target runs: quantization, the C header, the blob, RTNeural JSON, the cycle budget."""
