"""A torch checkpoint -> a verified cropper folder (needs torch)."""
