"""Stands in for a torchvision that was built for another torch: no more than what SpikingJelly's models import."""
