"""The page that says what a fine-tuned model gets right and wrong.

Public names: `pages.write_run_report`, `pages.write_grid_report`, `pages.evaluation_page`; `evaluated.Evaluated`, a
model's outputs on labelled examples. What the page says of a kind of task is a function here, with a line in
`pages.SECTIONS`; a kind without one gets a page with its figures and some predictions.
"""
