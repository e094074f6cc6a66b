"""What a map is worth on its own picture: measured by hiding patches in its order, and in random ones."""
