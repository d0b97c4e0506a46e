"""The page: one HTML document, with scripts and styles of its own."""
