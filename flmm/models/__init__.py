"""Components (LMMs, heads, refiners, losses) and the systems that wire them."""
