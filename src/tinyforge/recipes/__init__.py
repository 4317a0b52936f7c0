"""The story, one file per verb; the only place where the stages meet."""
