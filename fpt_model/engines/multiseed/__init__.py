"""The same training in a dozen kernels a step, for NVIDIA GPUs; `engine.py` is the way in."""
