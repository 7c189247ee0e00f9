"""Many users' devices, simulated through the device's own code."""
