"""Studies of many runs: GLUE as a whole, frozen features, the demo with its learning curve.

Public: `glue.run_glue`, `glue_submission.write_glue_submission`, `features.study.study_features`, `demo.run.run_demo`,
and for new comparisons `learning_curve.learning_curve` with the methods of `baselines`.
"""
