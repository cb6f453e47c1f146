"""The demo: from raw text to a fine-tuned model, on the documentation that every Python carries.

Public: `run.run_demo`; `result.DemoOptions` with its sizes `FULL` and `QUICK`; `report.QUICK_NOTICE`.
"""
