"""Measures model files; and the scripts behind every number in the documents."""
