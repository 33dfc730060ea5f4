"""The scripts behind every number in the documents; not installed."""
