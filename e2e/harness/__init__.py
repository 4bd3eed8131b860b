"""What the end-to-end tests and the demo are made of: one concept a module."""
