"""Data sets: from films and pictures to a folder that a generator is trained from."""
