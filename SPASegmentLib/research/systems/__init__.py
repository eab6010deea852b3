"""The systems SPA is compared with, each an engine."""
