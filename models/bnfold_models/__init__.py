"""BatchNorm networks."""
