"""Preparing more ratings than memory holds: the transforms, on some users after others."""
