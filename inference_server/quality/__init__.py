"""Numbers for how close a generator's pictures are to those of a data set; they need no downloaded network."""
