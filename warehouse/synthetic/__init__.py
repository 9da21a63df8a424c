"""A made-up world of viewers in MovieLens's file format, with signals of known strength."""
