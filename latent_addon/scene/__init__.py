"""Every touch of bpy.data: strips, curves, drawing, output. Imports core; knows nothing of the server."""
