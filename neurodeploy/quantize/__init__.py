"""From float to integers: folding, calibration, scales, rounding onto the grid that the target keeps."""

from neurodeploy.quantize.fold import fold_batchnorm
from neurodeploy.quantize.options import QuantizeOptions
from neurodeploy.quantize.quantize import layer_losses, quantize, quantize_exactly

__all__ = ["QuantizeOptions", "fold_batchnorm", "layer_losses", "quantize", "quantize_exactly"]
