"""Search by sound, by pictures and by words: embeddings, windows, an index on disk, ranks."""
