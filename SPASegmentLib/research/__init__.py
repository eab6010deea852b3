"""Data sets, training, evaluation and the systems SPA is compared with; nothing outside imports it."""
