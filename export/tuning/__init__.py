"""int8 files within a limit of lost accuracy."""
