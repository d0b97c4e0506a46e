"""Seeing inside an index: trace → `layout` (coordinates) → `figures` (views) → `report` (one HTML file).

Nothing here is needed to search, and nothing that searches knows of it.
"""
