"""Make the virtual environment that `make` works in: one set of dependencies, checked.

The set is the tested one (`constraints.txt`), or with `--newest` what pip finds within `pyproject.toml`'s ranges, or
with `--oldest` the lower end of each range; torch is always the tested one, because machines need different builds.
Two choices pip cannot make are made here: a machine without an NVIDIA GPU gets a CPU build of torch where one can be
had (the default on Linux is a CUDA build of several gigabytes), and a machine without libGL gets OpenCV's headless
wheel.
Only the standard library is used. This script knows nothing of the package but its `pyproject.toml` and
`constraints.txt`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

OLDEST_PYTHON = (3, 11)
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CONSTRAINTS = ["--constraint", "constraints.txt"]


def complain(message: str) -> SystemExit:
    """Return the exception that ends the script with one line."""
    return SystemExit(f"make: {message}")


def check_base_python(version: tuple[int, ...] = sys.version_info[:3]) -> None:
    """Stop with what to install if this Python is too old or cannot make virtual environments."""
    found = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        raise complain(
            f"Python 3.11 or newer is needed, {sys.executable} is {found}; "
            "install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv) and run: make PYTHON=python3.11"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        package = f"python{version[0]}.{version[1]}-venv"
        raise complain(
            f"Python {found} has no venv module with pip; install it (Debian, Ubuntu: apt-get install {package})"
        ) from None


def make_venv(folder: Path) -> str:
    """Create the environment unless a working one is there; return its Python."""
    python = folder / "bin" / "python"
    works = python.exists() and not subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode
    if not works:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return str(python)


def pip(python: str, *arguments: str) -> None:
    """Run pip in the environment; a failure ends the script with the command to repeat."""
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command).returncode:
        raise complain(f"the installation failed (see above); check the network and run again: {' '.join(command)}")


def has_nvidia_gpu() -> bool:
    """Tell whether an NVIDIA driver answers on this machine."""
    tool = shutil.which("nvidia-smi")
    return tool is not None and subprocess.run([tool, "-L"], capture_output=True).returncode == 0


def would_install_cuda(python: str) -> bool:
    """Ask pip, without installing, whether its choice of torch brings NVIDIA's packages."""
    command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-", *CONSTRAINTS, "torch"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        return False  # pip's real run, next, shows the error
    names = [item["metadata"]["name"].lower() for item in json.loads(result.stdout)["install"]]
    return any(name.startswith(("nvidia-", "cuda-")) for name in names)


def is_reachable(url: str) -> bool:
    """Tell whether a package index answers within a few seconds."""
    try:
        with urllib.request.urlopen(f"{url}/torch/", timeout=5):
            return True
    except OSError:
        return False


def torch_options(python: str) -> list[str]:
    """Return the pip options that choose the build of torch for this machine."""
    if not sys.platform.startswith("linux") or has_nvidia_gpu() or not would_install_cuda(python):
        return []
    if is_reachable(TORCH_CPU_INDEX):
        print("make: no NVIDIA GPU seen: installing the CPU build of torch", flush=True)
        return ["--extra-index-url", TORCH_CPU_INDEX]
    print("make: no NVIDIA GPU seen, but only a CUDA build of torch can be had: a download of several GB", flush=True)
    return []


def lower_ends(pyproject: str) -> list[str]:
    """Return a pin to the lower end of each dependency's range, such as `numpy==1.26.*`; torch is left out."""
    table = re.search(r"^dependencies = \[.*?^\]", pyproject, re.MULTILINE | re.DOTALL)
    ranges = re.findall(r'^\s*"([\w-]+)>=([\d.]+)', table[0] if table else "", re.MULTILINE)
    return [f"{name}=={version}.*" for name, version in ranges if name != "torch"]


def constraints_of(arguments: list[str], folder: Path) -> list[str]:
    """Return pip's options for the set that the arguments name."""
    if "--newest" in arguments:
        return []
    if "--oldest" not in arguments:
        return CONSTRAINTS
    oldest = folder / "oldest.txt"
    oldest.write_text("\n".join(lower_ends(Path("pyproject.toml").read_text(encoding="utf-8"))))
    return ["--constraint", str(oldest)]


def fix_opencv(python: str) -> None:
    """Swap in OpenCV's headless wheel if the one with windows lacks a system library, such as libGL."""
    result = subprocess.run([python, "-c", "import cv2"], capture_output=True, text=True)
    if result.returncode == 0:
        return
    reason = result.stderr.strip().rpartition("\n")[2]
    print(f"make: opencv-python does not load here ({reason}): using opencv-python-headless instead", flush=True)
    shown = subprocess.run([python, "-m", "pip", "show", "opencv-python"], capture_output=True, text=True).stdout
    version = re.search(r"^Version: (\S+)", shown, re.MULTILINE)
    headless = f"opencv-python-headless=={version[1]}" if version else "opencv-python-headless"
    pip(python, "uninstall", "--quiet", "--yes", "opencv-python")
    pip(python, "install", "--quiet", "--force-reinstall", "--no-deps", headless)
    result = subprocess.run([python, "-c", "import cv2"], capture_output=True, text=True)
    if result.returncode:
        raise complain(f"OpenCV does not load: {result.stderr.strip()}")


def main(arguments: list[str]) -> None:
    """Make or update the environment in the folder named first.

    `--dev` adds the tools for tests and lint, `--suite` those of the default tests alone; `--newest` and `--oldest`
    choose another set than the tested one.
    """
    check_base_python()
    folder = Path(arguments[0])
    python = make_venv(folder)
    pip(python, "install", "--quiet", "pip>=25.1")  # the first that reads dependency groups
    pip(python, "install", *CONSTRAINTS, *torch_options(python), "torch")
    print("make: installing the other dependencies", flush=True)
    groups = [part for name in ("dev", "suite") if f"--{name}" in arguments for part in ("--group", name)]
    pip(python, "install", "--quiet", *constraints_of(arguments, folder), *groups, "--editable", ".")
    fix_opencv(python)


if __name__ == "__main__":
    main(sys.argv[1:])
