"""Process a frame after the device has made it: turn 8-bit pixels into shadows and files."""
