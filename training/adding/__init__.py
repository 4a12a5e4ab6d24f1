"""New species for a release that is there: learned from a data set, without forgetting the old ones."""
