"""For the authors alone, and in no wheel: models into the box, results into README and book.

``python -m workshop`` lists the commands.
"""
