"""The commands of `python -m inference_server`, one file each."""
