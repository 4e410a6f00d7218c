"""What the lessons need and nobody else: checks of exercises, the toy model, their figures."""
