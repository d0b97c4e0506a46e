"""One search taken apart: what the index did, why a picture was or was not found, what other settings would find."""
