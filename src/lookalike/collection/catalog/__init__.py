"""The catalogue of a collection: one SQLite file, its tables, and what is read from it."""
