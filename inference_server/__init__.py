"""The process that runs next to Blender: latents in, picture files out. `python -m inference_server --help`."""
