"""The name under which torchvision passes on the download of weights."""

from torch.hub import load_state_dict_from_url

__all__ = ["load_state_dict_from_url"]
