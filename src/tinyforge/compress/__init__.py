"""Models made smaller and faster: fewer bits, fewer weights."""
