"""The one room that draws: pages, pictures and tables of text, from plain values."""
