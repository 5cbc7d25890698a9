"""All code that reads or changes bpy.data: strips, curves, drawing, output. Imports core; does not know the server."""
