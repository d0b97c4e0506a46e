"""From folders to stored features: walk, compare, read once, embed, commit."""
