"""What the operators and panels of all folders share. Draws what is known, and computes nothing."""
