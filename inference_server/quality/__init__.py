"""How close a generator's pictures are to a data set's, by numbers that need no downloaded network."""
