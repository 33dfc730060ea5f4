"""The scripts behind every number in the documents; not installed."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
