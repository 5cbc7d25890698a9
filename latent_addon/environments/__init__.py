"""Find, make, fill and check private Python environments. Standard library only, no bpy; dev.py uses it too.

Nothing here imports from outside this folder.
"""
