"""What perf_analyzer is given and what its report says."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from benchmarks.perf_analyzer import PerfAnalyzerError, Report, parse_report
from benchmarks.photos import PhotoSet, write_input
from contract.answer import split_strings

FROM_GATEWAY = """\
Concurrency,Inferences/Second,Client Send,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
8,45.6671,18,10,159913,266967,295736,526624
"""
FROM_TRITON = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
8,62.8603,16,5191,10395,228,108571,862,12,119799,211730,234001,271905
"""


def test_a_report_is_read_by_its_column_names() -> None:
    assert parse_report(FROM_GATEWAY) == Report(45.6671, 159.913, 295.736, 526.624)
    assert parse_report(FROM_TRITON) == Report(62.8603, 119.799, 234.001, 271.905)


@pytest.mark.parametrize(
    "text", ["", FROM_GATEWAY.splitlines()[0], FROM_GATEWAY + "9,1,1,1,1,1,1,1\n", FROM_GATEWAY.replace("p95", "p96")]
)
def test_another_report_is_refused(text: str) -> None:
    with pytest.raises(PerfAnalyzerError, match="report"):
        parse_report(text)


def test_photos_are_written_as_elements_of_a_bytes_tensor_and_all_differ(tmp_path: Path) -> None:
    written = write_input(tmp_path / "photos.json", PhotoSet("two", (b"first", b"second")), 6)
    rows = json.loads(written.path.read_text())["data"]
    elements = [element for row in rows for element in split_strings(base64.b64decode(row["PHOTO"]["b64"]))]
    assert [element[:5] for element in elements] == [b"first", b"secon"] * 3
    assert len(set(elements)) == len(written.digests) == 6
