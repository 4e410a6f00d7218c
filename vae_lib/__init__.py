"""A course on variational autoencoders: the code behind the notebooks."""
