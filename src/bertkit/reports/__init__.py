"""HTML pages that a person can read and pass on: pre-training runs, corpora, fine-tuned models.

Public: `page.Report` with its blocks and `page.write_report`; `plots.plot`; `pretraining.write_pretraining_report`;
`corpus.CorpusExamination` and `corpus.corpus_report`; the pages of tasks in `evaluation`.
"""
