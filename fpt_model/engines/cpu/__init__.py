"""The plain step by hand-written passes, parts of the batch side by side on a CPU's threads."""
