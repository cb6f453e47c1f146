"""The feature-based approach (Devlin et al. 2019, section 5.3): models on top of a frozen encoder's layers.

Public: `study.study_features`; `plan.FeatureStudyOptions`, which is free of torch; `result.FeatureStudyResult`.
"""
