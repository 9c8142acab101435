"""The parts of the simulated retailer: its world, its people, what they buy and what they look at."""
