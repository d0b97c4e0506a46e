"""The cases of ``lookalike bench run engine``: each a function from the bench to rows."""
