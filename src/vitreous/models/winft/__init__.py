"""WinfT, a ViT whose patches attend within fields of any shape, in timm's registry as `winft_tiny`, `_small`, `_base`.

A reconstruction after the abstract of arXiv 2203.05922: that responsive fields make a window-free transformer is the
abstract's, its name another source's, everything else our own design.
"""
