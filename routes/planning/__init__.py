"""What should stand, or every reason why it cannot; pure."""
