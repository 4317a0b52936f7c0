"""What TinyForge is measured against; each module is a program that a fresh process runs."""
