"""What the integration tests share; tests/README.md is the tour."""
