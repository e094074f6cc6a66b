"""What a classifier is worth on labelled pictures, and the page of a training run."""
