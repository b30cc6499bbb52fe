"""Pulumi: what is declared, who acts, and what a stack holds."""
