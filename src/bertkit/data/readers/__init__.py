"""Texts and tables of users: files, folders, globs and hub data sets, in every format that is read; without torch.

Other rooms import:

- `sources`: `resolve_sources`, `Source`, `SourceFile`, `HubDataset`, `Names`, `no_rows`, `COMPRESSIONS`
- `tables`: `read_rows`, `read_table`, `read_table_parts`, `Table`, `TableSource`, `RowOptions`
- `text`: `text_blocks`, `text_lines`, `document_blocks`, `decoded`, `FileSpan`, `TextRow`, `EncodingErrors`,
  `BytesSeen`
"""
