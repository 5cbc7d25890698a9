"""Training generators: networks, augmentation, the loop, and the run it leaves; and the drawn family."""
