"""Model downloads from CivitAI and Hugging Face."""
