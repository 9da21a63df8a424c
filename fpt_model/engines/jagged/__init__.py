"""Training by captured steps: any length, any number of heads and blocks, both losses."""
