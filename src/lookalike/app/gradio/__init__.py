"""gradio: its clients, and the two pages that are made of its components. Loaded only where one of them is asked for."""
