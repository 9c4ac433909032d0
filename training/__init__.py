"""Audio files, captures, circuits, models, losses and the training loop: all that ends in `model.pt`."""
