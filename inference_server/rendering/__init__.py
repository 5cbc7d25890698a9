"""Latents in, pixels out: generators loaded, kept and run on the device."""
