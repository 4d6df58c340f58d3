"""Dense retrieval on a Milvus cluster, with filters in its language."""
