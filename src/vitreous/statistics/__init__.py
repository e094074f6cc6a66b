"""Records of many measurements, their intervals and tests, the tables made of them."""
