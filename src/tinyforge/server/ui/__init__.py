"""Local pages over runs: their list, their reports, and a box to try each model."""
