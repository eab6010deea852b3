"""Experimental: a rough partial labelling grows through proposals to pick from (after Wong et al.)."""
