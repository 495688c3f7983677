"""Who asks: bearer tokens, kept as hashes, and the owner that each stands for."""
