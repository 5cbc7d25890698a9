"""What operators and panels of all rooms share. Draws what is known, and computes nothing."""
