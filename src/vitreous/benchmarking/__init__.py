"""Methods judged on a data set: the plan, the run, the results on disk, the tables."""
