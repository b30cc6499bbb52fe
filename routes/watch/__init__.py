"""Keep one stack's routes in place as its workers join and leave."""
