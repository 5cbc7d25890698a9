"""What dev.py is made of. Standard library only, Python 3.11 and later, except where a module says that it runs in Blender."""
