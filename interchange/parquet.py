"""The tables of :mod:`interchange.tables` as Apache Parquet, format 2.6, for pandas, R's arrow, DuckDB and Spark."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final

from contract.record import Record
from interchange.errors import InterchangeError
from interchange.tables import Kind, Per, columns, rows

ROWS_AT_ONCE: Final = 4096
"""Records in memory, and in a row group."""


def check_installed() -> None:
    """Raises InterchangeError if pyarrow is not there."""
    if importlib.util.find_spec("pyarrow") is None:
        raise InterchangeError(
            "Parquet needs pyarrow: pip install 'bestiary[parquet]' in this environment, or take --format csv."
        )


def write(records: Iterable[Record], path: Path, per: Per = Per.PHOTO) -> int:
    """Write a table; the number of records. Raises InterchangeError if pyarrow is not there, OSError."""
    check_installed()
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[Kind, Any] = {
        "text": pa.string(),
        "number": pa.float64(),
        "whole": pa.int64(),
        "moment": pa.timestamp("us", tz="UTC"),
        "local": pa.timestamp("us"),
    }
    schema = pa.schema([(column.name, types[column.kind]) for column in columns(per)])
    waiting, count = iter(records), 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(waiting, ROWS_AT_ONCE)):
            lines = [row for record in batch for row in rows(record, per)]
            cells = [[column.cell(row) for row in lines] for column in columns(per)]
            writer.write_table(pa.table(cells, schema=schema))
            count += len(batch)
    return count
