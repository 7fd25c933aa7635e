"""What origins say of the sizes and checksums of files."""
