"""One writer per annotation format; each turns scenes into the format's real files.

A writer is a class with ``add(split, image_id, scene, rng)``, called once per
scene, and ``finish()``, which writes its files. To add a format, add a file
here and name its class in :data:`flmm.datasets.toy.build.WRITERS`.
"""
