"""What a verification looks like: terminal, document, page."""
