"""Drawing a small data set and training a small StyleGAN2 on it."""
