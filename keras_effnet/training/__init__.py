"""Training: so far the recipe of the built-in digits."""
