"""The index of a collection: which one to build, and building it."""
