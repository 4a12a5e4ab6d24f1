"""What every part of Bestiary must agree on. No I/O, and no import of any other package of ours."""
