"""Search spaces: the presets and people's own."""
