"""Floor 2: one technology each. They know the domain's nouns, never the flows."""
