"""Pages that people read: HTML in one file, no server, no network."""
