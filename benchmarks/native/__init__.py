"""The runner in C for targets without Python, compiled on demand."""
