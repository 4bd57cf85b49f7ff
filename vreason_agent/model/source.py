"""Where a model's files come from: the bundled folder, a folder on this machine, or a hub repository."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from vreason_agent.errors import ConfigError, DependencyError, ModelLoadError, quote

__all__ = [
    "BUNDLED_NAME",
    "MODEL_VARIABLE",
    "bundled_folder",
    "default_model",
    "local_folder",
    "locate_model",
]

BUNDLED_NAME = "tiny"
"""Name of the model that comes with the package."""
MODEL_VARIABLE = "VREASON_MODEL"
"""Environment variable that names the default model."""

_WANTED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")


def default_model() -> str:
    """The model used where none is named: `$VREASON_MODEL`, else the bundled one."""
    return os.environ.get(MODEL_VARIABLE, "").strip() or BUNDLED_NAME


def bundled_folder() -> Path:
    """Folder of the bundled model."""
    return Path(str(resources.files("vreason_agent.tiny"))) / "weights"


def local_folder(model: str, *, revision: str | None = None) -> Path | None:
    """Return the folder with a model's files if they are on this machine, the hub's cache included, else `None`."""
    if model == BUNDLED_NAME:
        return bundled_folder()
    folder = Path(model).expanduser()
    if os.path.isdir(folder):
        return folder
    if not _is_hub_id(model):
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(cached).parent if isinstance(cached, str) else None


def _is_hub_id(model: str) -> bool:
    parts = model.replace(os.sep, "/").split("/")
    return len(parts) == 2 and parts[0] not in {"", ".", "..", "~"} and parts[1] != ""


def locate_model(model: str | None = None, *, revision: str | None = None) -> Path:
    """Return the folder with a model's files, downloading a hub repository into the local cache where needed.

    Args:
        model: `tiny`, a folder, or a hub id such as `Qwen/Qwen2.5-VL-3B-Instruct`; `None` is the default model. `tiny`
            is always the bundled model; an existing folder comes before a hub id.
        revision: branch, tag or commit of a hub repository.

    Raises:
        ConfigError: a revision of what is no hub repository.
        ModelLoadError: there is no such folder or repository, it needs a login, or no network reaches it.
        DependencyError: huggingface_hub is broken.
    """
    if model is not None or default_model() == BUNDLED_NAME:
        return _locate(model or BUNDLED_NAME, revision)
    try:
        return _locate(default_model(), revision)
    except ModelLoadError as exc:
        raise ModelLoadError(f"${MODEL_VARIABLE}: {exc}. Or take the default back: unset {MODEL_VARIABLE}") from exc


def _locate(model: str, revision: str | None) -> Path:
    folder = Path(model).expanduser()
    if revision is not None and (model == BUNDLED_NAME or os.path.isdir(folder)):
        what = "the bundled model" if model == BUNDLED_NAME else "a folder"
        raise ConfigError(
            f"revision {quote(revision)} of model {quote(model)}, which is {what}: only a hub id has revisions. "
            "Leave --revision out"
        )
    if model == BUNDLED_NAME:
        if not os.path.isdir(bundled_folder()):
            raise ModelLoadError(
                f"the bundled model is not at {quote(str(bundled_folder()))}. Reinstall the package: pip install "
                "vreason-agent"
            )
        return bundled_folder()
    if os.path.isdir(folder):
        return folder
    if not _is_hub_id(model):
        raise ModelLoadError(
            f"no model folder {quote(model)} (looked in {quote(str(folder.absolute()))}). Pass an existing folder, "
            f"a hub id such as --model Qwen/Qwen2.5-VL-3B-Instruct, or --model {BUNDLED_NAME} for the bundled one"
        )
    return _download(model, revision)


def _download(model: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import errors as hub
        from huggingface_hub import snapshot_download
    except ImportError as exc:
        raise DependencyError(
            f"cannot load huggingface_hub ({exc}), which fetches {quote(model)}. Run: pip install -U huggingface_hub"
        ) from exc
    offline = f"the hub was not reached and {quote(model)} is not in the local cache"
    command = f"hf download {model}" if revision is None else f"hf download {model} --revision {revision}"
    remedy = f"Check the network, or run where there is one: {command} (HF_HUB_OFFLINE must not be 1)"
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(_WANTED)))
    except hub.GatedRepoError as exc:
        raise ModelLoadError(
            f"hub repository {quote(model)} needs a login. Accept its terms on its page, then run: hf auth login"
        ) from exc
    except hub.RevisionNotFoundError as exc:
        raise ModelLoadError(
            f"hub repository {quote(model)} has no revision {quote(revision)}. Leave --revision out for the main branch"
        ) from exc
    except (hub.RepositoryNotFoundError, hub.HFValidationError) as exc:
        raise ModelLoadError(
            f"no folder and no public hub repository {quote(model)}. Check the spelling, for example "
            "--model Qwen/Qwen2.5-VL-3B-Instruct; for a private one run: hf auth login"
        ) from exc
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, hub.HfHubHTTPError, OSError) as exc:
        raise ModelLoadError(f"model {quote(model)}: {offline}. {remedy}") from exc
