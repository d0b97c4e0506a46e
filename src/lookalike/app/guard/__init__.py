"""Checks in front of every route: host names, origin, passwords, the secret, and slow connections."""
