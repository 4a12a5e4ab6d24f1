"""The animal detector: YOLOX-nano, made class-agnostic and fine-tuned."""
