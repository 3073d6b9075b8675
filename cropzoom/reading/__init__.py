"""Text on pictures, and whether an answer is right: OCR, answer matching, a stand-in reader."""
