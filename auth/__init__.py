"""Who is asking and what they may do. A leaf: knows nothing of the archive."""
