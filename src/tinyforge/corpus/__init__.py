"""Raw text: read from anything, cleaned, freed of repeats, split, and made ready to learn from."""
