"""Simple models, fitted in seconds: what every neural one has to beat.

They are variants like the others, ranked and published in the same way. All are fitted on the
training part alone, on a CPU, and nothing in them is random.

Letters: I items, u a user's history with the latest item first, h a half-life in positions.
"""
