"""Programs that run in a process of their own, and the one way to ask them."""
