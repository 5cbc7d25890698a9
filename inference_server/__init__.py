"""The process that runs beside Blender: latents in, picture files out. `python -m inference_server --help`."""
