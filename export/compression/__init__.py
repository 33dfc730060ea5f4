"""Quantisation-aware training, pruning and clustering, through TF-MOT."""
