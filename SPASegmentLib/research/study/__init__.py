"""The study with simulated users, and what its records show."""
