"""Detectors: torchvision's Mask R-CNN on any pyramid of timm's registry."""
