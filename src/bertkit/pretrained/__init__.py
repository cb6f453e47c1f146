"""Model folders on the disk: Hugging Face's and other projects' files, read and written.

Public names: `folder.ModelFolder` (a folder or hub name, opened once and handed on), `folder.LoadReport`,
`folder.write_model_folder`; `models.BertModel` (the encoder with `from_pretrained` and `save_pretrained`),
`models.BertWithHeads` (the encoder with all heads of a folder), `models.describe_model`;
`config_json.ModelDescription`; `card.ModelCard`; `sentence_settings.SentenceSettings`; `formats.table.FORMATS`, where
a new architecture's name table is registered.
"""
