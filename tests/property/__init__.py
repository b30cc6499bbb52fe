"""Laws that hold for every input, under hypothesis."""
