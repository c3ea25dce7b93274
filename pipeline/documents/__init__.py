"""Pages in, documents out."""
