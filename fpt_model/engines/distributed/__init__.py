"""One training on several processes, each with a GPU of its own, by PyTorch's DDP."""
