"""Photos of people's own in, checked, split and kept as versions that a training can name. Needs no torch."""

from training.datasets.model import Dataset, DatasetPhoto, NewSpecies, Part
from training.datasets.store import read_dataset

__all__ = ["Dataset", "DatasetPhoto", "NewSpecies", "Part", "read_dataset"]
