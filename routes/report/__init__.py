"""Reports of a verification: terminal, JSON, HTML, GitHub."""
