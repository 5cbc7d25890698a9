"""What happens to a frame after the device: 8-bit pixels to shadows, and to files."""
