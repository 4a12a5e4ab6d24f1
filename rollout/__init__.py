"""Releases: kept, checked, loaded beside the champion, shadowed, promoted and rolled back."""
