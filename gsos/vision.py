"""torchvision beside any build of PyTorch: `from gsos.vision import torchvision`.

A wheel of torchvision that was built for CUDA cannot load its compiled operators beside a CPU build of PyTorch, and its
import then fails where it registers two of them. We need only its datasets and transforms, which are plain Python: the
two schemas are declared here so that the import goes through.
"""

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    _library = torch.library.Library("torchvision", "DEF")  # kept: its schemas live as long as it does
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

__all__ = ["torchvision"]
