"""How a workflow that ComfyUI's page saved becomes a prompt that ComfyUI runs. Pure."""
