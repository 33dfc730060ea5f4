"""What changes a file's numbers: ranges, rounding, float islands, distillation."""
