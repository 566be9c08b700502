"""Files of pictures and uploads, on the disk or in a bucket."""
