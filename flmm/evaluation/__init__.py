"""How predictions are scored: pure functions, and mmengine metrics on top of them."""
