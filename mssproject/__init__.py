"""Settings, addresses and processes: names the apps and is imported by none of them."""
