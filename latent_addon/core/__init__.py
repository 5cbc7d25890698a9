"""What needs no Blender: interpolation, frame requests, which frames are stale, the frame store. No bpy here."""
