"""The gateway: what reaches ComfyUI, in whose name, and what comes back to whom."""
