"""Many pictures, cut into shards, on one machine or many; what is done is never done again, and nothing is lost."""
