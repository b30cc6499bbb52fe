"""Tests of the modules, without an engine; EC2 is moto, in the same process."""
