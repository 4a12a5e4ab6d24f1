"""Make a release serve a plan that was built beside its ONNX file."""

from __future__ import annotations

from pathlib import Path

from contract.release import Release
from export.configs import all_configs, render
from export.layout import GPU_CLASSIFIER_PATH, LABELS_PATH, MANIFEST_PATH, file_digests


def serve_plan(repository: Path) -> str:
    """Write the gpu profile for the plan and a manifest that counts it; the release's new identity."""
    leaves = len((repository / LABELS_PATH).read_text(encoding="utf-8").splitlines())
    config = render(all_configs(leaves, plan=True)[GPU_CLASSIFIER_PATH])
    (repository / GPU_CLASSIFIER_PATH).write_text(config, encoding="utf-8")
    manifest = repository / MANIFEST_PATH
    release = Release.model_validate_json(manifest.read_text(encoding="utf-8"))
    release = release.model_copy(update={"files": file_digests(repository)})
    manifest.write_text(release.to_json(), encoding="utf-8")
    return release.identity
