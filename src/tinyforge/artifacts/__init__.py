"""Everything that lies on disk: run folders, checkpoints, manifests, reports."""
