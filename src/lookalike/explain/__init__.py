"""One search, step by step: what the index did, why a picture was or was not found, what other settings would find."""
