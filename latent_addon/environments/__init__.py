"""Private Python environments: found, made, filled, checked. Standard library only, no bpy; dev.py uses it too.

Nothing here imports from outside this folder.
"""
