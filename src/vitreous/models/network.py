"""Whether weights can be downloaded, found out in seconds: the libraries themselves retry for minutes."""

from __future__ import annotations

import ssl
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from vitreous.errors import ModelError

__all__ = ["hub_is_reachable", "is_cached", "not_downloaded"]


def hub_is_reachable(timeout: float = 5) -> bool:
    """Whether Hugging Face's model hub (or the mirror that the environment names) answers at all."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=timeout).close()
    except HTTPError:
        return True
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # their certificates may be set up where ours are not
    except OSError:
        return False
    return True


def is_cached(hub: str, named: str | None = None) -> bool:
    """Whether weights of a model of the hub are on this machine, under a usual name or the one given."""
    from huggingface_hub import try_to_load_from_cache

    usual = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(hub, file), str) for file in (*usual, *filter(None, [named])))


def not_downloaded(spec: str, instead: str) -> ModelError:
    """The error for weights that are neither here nor within reach."""
    return ModelError(f"the weights of `{spec}` are not on this machine and cannot be downloaded. {instead}")
