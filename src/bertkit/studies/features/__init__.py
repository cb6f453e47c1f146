"""What a frozen encoder's layers are good for: the feature-based approach (Devlin et al. 2019, section 5.3)."""
