"""What dev.py is made of. Standard library only, except where a module says that it runs in Blender."""
