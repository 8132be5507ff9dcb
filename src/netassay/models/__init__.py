"""Models: the operator graph with its front ends, black boxes, query counting. Only ``torch_*`` files import torch eagerly."""
