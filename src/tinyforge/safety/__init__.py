"""What keeps people safe: personal data found and masked."""
