"""Readers and writers of index files. They know arrays and metadata, not indexes; `index` makes one of the other.

Files are untrusted: every length is checked before it is used, and what is wrong with one is a `FormatError`.
"""
