"""Audio files, captures, circuits, models, losses and the training loop: all that ends in `model.pt`."""

import os

# Before torch is imported: these networks are too small for a second thread, and on a busy machine two threads that
# wait for each other take ten times as long as one. `pedal train --threads` still sets another number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
