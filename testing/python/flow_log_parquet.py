"""Reads the Parquet object named on the command line with a reader that is not ours, and prints
its columns and rows as JSON."""

import json
import sys

import pyarrow.parquet


def main():
    table = pyarrow.parquet.ParquetFile(sys.argv[1])
    chunk = table.metadata.row_group(0).column(0)
    shown = {
        "columns": {field.name: str(field.type) for field in table.schema_arrow},
        "compression": chunk.compression,
        "rows": table.read().to_pylist(),
    }
    json.dump(shown, sys.stdout)


if __name__ == "__main__":
    main()
