"""Make a release serve plans that were built beside its ONNX files."""

from __future__ import annotations

from pathlib import Path

from contract.release import Release
from export.configs import all_configs, render
from export.layout import LABELS_PATH, MANIFEST_PATH, NETWORKS, file_digests, gpu_config_path


def serve_plans(repository: Path) -> str:
    """Write the gpu profile for the plans and a manifest that counts them; the release's new identity."""
    leaves = len((repository / LABELS_PATH).read_text(encoding="utf-8").splitlines())
    configs = all_configs(leaves, plan=True)
    for path in map(gpu_config_path, NETWORKS):
        (repository / path).write_text(render(configs[path]), encoding="utf-8")
    manifest = repository / MANIFEST_PATH
    release = Release.model_validate_json(manifest.read_text(encoding="utf-8"))
    release = release.model_copy(update={"files": file_digests(repository)})
    manifest.write_text(release.to_json(), encoding="utf-8")
    return release.identity
