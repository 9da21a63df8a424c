"""What the engines for GPUs have in common."""
