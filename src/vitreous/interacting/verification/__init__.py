"""Does the indicator hold on a model? Windows, removal and exact intervention on labelled pictures."""
