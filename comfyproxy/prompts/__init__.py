"""What a prompt is made of, what it uses, and how it is rewritten for its owner. Pure."""
