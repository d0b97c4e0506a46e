"""Groups of copies: which pictures are the same, how they hang together, and which files are one."""
