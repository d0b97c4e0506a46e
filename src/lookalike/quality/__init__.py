"""How good the answers of a collection are, and learning from labels to make them better."""
