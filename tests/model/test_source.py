from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors as hub

from vreason_agent.errors import ConfigError, DependencyError, ModelLoadError
from vreason_agent.model import load_model
from vreason_agent.model.source import MODEL_VARIABLE, bundled_folder, default_model, locate_model


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)


def http_error(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, "from the hub")
    return error


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert locate_model(str(tmp_path)) == tmp_path


def test_the_bundled_model_is_found_by_name() -> None:
    assert bundled_folder().name == "weights"
    if bundled_folder().is_dir():
        assert locate_model("tiny") == bundled_folder()


def test_a_package_without_its_weights_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vreason_agent.model.source.bundled_folder", lambda: tmp_path / "gone")
    with pytest.raises(ModelLoadError, match="Reinstall the package: pip install vreason-agent"):
        locate_model("tiny")


@pytest.mark.parametrize("path", ["./nowhere", "/no/such/folder", "nowhere", "a/b/c", "~/nowhere", "../nowhere"])
def test_a_folder_that_is_not_there_is_not_looked_up_on_the_hub(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, AssertionError("asked the hub"))
    with pytest.raises(ModelLoadError, match="Pass an existing folder, a hub id such as --model Qwen"):
        locate_model(path)


def test_a_hub_repository_is_fetched_without_pickled_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def download(repository: str, **settings: Any) -> str:
        seen.update(settings, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert locate_model("Org/Model", revision="abc") == tmp_path
    assert (seen["repository"], seen["revision"]) == ("Org/Model", "abc")
    assert "*.safetensors" in seen["allow_patterns"]
    assert not {"*.bin", "*.pt", "*.py"} & set(seen["allow_patterns"])


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (http_error(hub.GatedRepoError), r"Accept its terms on its page, then run: hf auth login"),
        (http_error(hub.RevisionNotFoundError), r"Leave --revision out for the main branch"),
        (http_error(hub.RepositoryNotFoundError), r"Check the spelling, for example --model Qwen"),
        (hub.HFValidationError("bad name"), r"Check the spelling, for example --model Qwen"),
        (http_error(hub.LocalEntryNotFoundError), r"Check the network, .*: hf download Org/M --revision abc \(HF"),
        (hub.OfflineModeIsEnabled("offline"), r"HF_HUB_OFFLINE must not be 1"),
        (ConnectionError("refused"), r"Check the network"),
    ],
)
def test_each_failure_of_the_hub_says_what_to_do(
    error: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    with pytest.raises(ModelLoadError, match=remedy):
        locate_model("Org/M", revision="abc")


@pytest.mark.parametrize(("model", "what"), [("tiny", "the bundled model"), (".", "a folder")])
def test_a_revision_of_what_is_no_hub_repository_is_refused(model: str, what: str) -> None:
    with pytest.raises(ConfigError, match=rf"'abc' of model '{model}', which is {what}: .* Leave --revision out"):
        locate_model(model, revision="abc")


def test_without_network_a_hub_model_fails_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelLoadError, match="hf download Org/Absent"):
        locate_model("Org/Absent")


def test_a_broken_hub_library_is_a_dependency_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "huggingface_hub":
            raise ImportError("no module")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(DependencyError, match="pip install -U huggingface_hub"):
        locate_model("Org/M")


def test_the_environment_names_the_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    assert default_model() == "tiny"
    monkeypatch.setenv(MODEL_VARIABLE, " /models/mine ")
    assert default_model() == "/models/mine"
    monkeypatch.setenv(MODEL_VARIABLE, "")
    assert default_model() == "tiny"


def test_a_wrong_default_model_is_told_by_the_variable_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, "/no/such/model")
    with pytest.raises(ModelLoadError, match=r"^\$VREASON_MODEL: no model folder .* unset VREASON_MODEL$"):
        load_model()
    with pytest.raises(ModelLoadError, match=r"^no model folder"):
        load_model("/no/such/model")


def test_a_folder_is_looked_at_without_torch(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    code = (
        "import sys\nfrom pathlib import Path\nfrom vreason_agent.model.folder import open_folder\n"
        "from vreason_agent.model.source import locate_model\nopen_folder(locate_model('tiny'), source='tiny')\n"
        f"try:\n    open_folder(locate_model({str(tmp_path)!r}), source='m')\n"
        "except Exception as exc:\n    print(exc)\n"
        "print({'torch', 'transformers', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    told, loaded = done.stdout.splitlines()
    assert "is a 'llama' without a vision_config: it takes no video. Choose a video-language model" in told
    assert loaded == "set()"
