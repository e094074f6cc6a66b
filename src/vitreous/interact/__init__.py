"""INTERACT: how patches act on each other, and where each one looks.

A reconstruction after the abstract of arXiv 2203.05922 (Ma et al., Visualizing and Understanding Patch Interactions in
Vision Transformer, TNNLS 2023), whose body is not public. Docstrings say what the abstract states, and what is our own.
"""
