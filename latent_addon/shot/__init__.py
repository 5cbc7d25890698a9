"""What an animator does with a strip: its generator, its latent and keys, its frames, its shadow."""
