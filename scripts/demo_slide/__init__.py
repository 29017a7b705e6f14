"""A demonstration slide: procedural H&E-stained colon wall, written as a real Aperio SVS file.

`scene` lays the tissue out, `sprites` and `textures` are what it is painted with, `paint` turns a
block of the slide into pixels, `svs` writes the file. The same seed gives the same file.
"""
