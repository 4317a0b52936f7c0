"""Is what TinyForge says of a model true? Measured on real data and on planted faults."""
