"""Speed, memory and start time, each beside a peer's best honest setting."""
