"""ComfyUI's answers cut down to what the caller may see: JSON and plain sets in, JSON out."""
