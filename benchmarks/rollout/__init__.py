"""Figures of rollouts: what promoting and rolling back costs those who send photos meanwhile."""
