"""Starts, guards and talks to the inference server. No bpy: the callers hand in paths and receive plain values."""
