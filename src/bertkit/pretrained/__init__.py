"""Model folders on the disk: Hugging Face's and other projects' files, read and written."""
