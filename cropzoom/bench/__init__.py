"""What a cropper costs: latency measurement and its report."""
