"""What a run has come to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class TrainingResult:
    """Over all starts of a run; every checkpoint holds it."""

    steps: int = 0
    tokens: int = 0
    """Of all processes."""
    seconds: float = 0.0
    """Of training alone, evaluations left out."""
    evaluation: dict[str, float] = field(default_factory=dict)
    """Figures of the last evaluation."""
    evaluated_at: int = 0
    """Its step."""
    best: dict[str, float] = field(default_factory=dict)
    """Figures of the best one."""
    since_best: int = 0
    """Evaluations after it."""
    halvings: int = 0
    """How often micro-batches were halved because memory did not hold them."""
    memory: int = 0
    """Bytes that the first process has held at the most."""
    clock_seconds: float = 0.0
    """Of everything since the run was started, which a budget counts."""
    first_step_at: float | None = None
    """Of these, the ones before the first step."""
    milestones: list[int] = field(default_factory=list)
    """Steps with which the run reached its clock's milestones."""
