"""What stands in front of every route: names, origin, passwords, the secret, and connections that dawdle."""
