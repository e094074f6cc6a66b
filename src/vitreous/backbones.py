"""SALG and WinfT in timm's registry: after `import vitreous.backbones`, `timm.create_model("salg_t")` works.

It loads timm, which takes seconds, so `import vitreous` does not; whatever loads or trains a model does it by itself.
"""

from vitreous.models.salg.backbone import SALG as SALG
from vitreous.models.winft.backbone import WinfT as WinfT

__all__ = ["SALG", "WinfT"]
