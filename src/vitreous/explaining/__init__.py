"""The main job: explanations of pictures, and what they leave on the disk."""
