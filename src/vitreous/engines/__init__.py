"""Where work runs: in this process, in several of this machine, on a Ray cluster. What it is, others say."""
