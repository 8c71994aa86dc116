"""People's own files as ComfyUI's userdata API has them: workflows, templates, themes."""
