"""The accounts' HTTP API (DRF)."""
