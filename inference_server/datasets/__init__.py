"""Data sets: from films and pictures to a folder of pictures that a generator is trained on."""
