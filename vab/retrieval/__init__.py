"""Search by video, by audio and by text: embeddings, an index on disk, its questions and answers."""
