"""Settings of one machine: the file that they lie in, the shipped ones by cores, and how better ones are looked for."""
