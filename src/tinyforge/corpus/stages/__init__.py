"""The engine that prepares a corpus: worker processes, and stages that survive a kill."""
