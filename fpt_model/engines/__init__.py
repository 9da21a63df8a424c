"""What trains: the reference and those that are faster."""
