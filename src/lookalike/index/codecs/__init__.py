"""What stands for a vector in the lists: `whole` vectors, or the codes of a product quantizer (`pq`)."""
