"""What keeps people safe: personal data masked, rules around a served model, drift watched."""
