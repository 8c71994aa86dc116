"""Tests of the simulated ComfyUI server itself."""
