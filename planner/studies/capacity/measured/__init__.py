"""What others measured of a serving system: the files of benchmark tools, plain tables and files of points."""
