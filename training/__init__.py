"""A data set in, a fine-tuned classifier and its evaluation out. Never imports the gateway."""
