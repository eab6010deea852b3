"""The systems of the paper's Table 1, each small, trained and asked as the others are."""
