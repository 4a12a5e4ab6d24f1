"""From the networks' numbers to answers: which boxes are animals, what they are, how sure that is. Numpy only."""
