"""Multi-rater data sets, read straight from zips or folders."""
