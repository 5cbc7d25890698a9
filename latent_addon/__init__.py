"""What runs inside Blender: the standard library, numpy and bpy only."""
