"""From latents to pixels: load generators, keep them loaded, and run them on the device."""
