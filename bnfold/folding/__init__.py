"""The fold engine: affine maps, the rules they obey, plans, and their application."""
