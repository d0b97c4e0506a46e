"""What turns vectors into numbers: k-means and product quantization."""

from lookalike.quantizers.kmeans import KMEANS, KMeans, assign, kmeans_native
from lookalike.quantizers.pq import ProductQuantizer

__all__ = ["KMEANS", "KMeans", "ProductQuantizer", "assign", "kmeans_native"]
