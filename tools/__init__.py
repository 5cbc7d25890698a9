"""The parts of dev.py. They use only the standard library, except modules that say that they run in Blender."""
