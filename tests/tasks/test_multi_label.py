import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peer

from bare_instances import bare_instances
from bertkit.core.errors import InputError
from bertkit.model.config import BertConfig
from bertkit.tasks.contract import Definition
from bertkit.tasks.metrics import MULTI_LABEL_METRICS
from bertkit.tasks.multi_label import MultiLabel, best_threshold, label_names, probabilities
from bertkit.tasks.options import Columns, TaskOptions

TASK = MultiLabel(classes=("anger", "joy", "pride"), max_length=16)
WAYS = {
    "lists": ('{"text": "a", "label": ["joy", "anger"]}\n{"text": "b", "label": []}\n', "t.jsonl", {}),
    "separated": ("text,label\na,joy;anger\nb,\n", "t.csv", {"options": TaskOptions(label_separator=";")}),
    "commas": ('text,label\na,"joy, anger"\nb,\n', "t.csv", {}),
    "written lists": ("text\tlabel\na\t['joy', 'anger']\nb\t[]\n", "t.tsv", {}),
    "columns": ("text,joy,anger\na,1,1\nb,0,0\n", "t.csv", {"columns": Columns(label="joy,anger")}),
    "truth values": (
        '{"text": "a", "joy": true, "anger": true}\n{"text": "b", "joy": false, "anger": false}\n',
        "t.jsonl",
        {"columns": Columns(label="joy, anger")},
    ),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_labels_are_read_in_every_way_that_tables_hold_them(tmp_path: Path, way: str):
    text, name, given = WAYS[way]
    (tmp_path / name).write_text(text)
    definition = Definition(**{"max_length": 16, "columns": Columns(), **given})
    examples = MultiLabel.read(tmp_path / name, definition.columns)
    task = MultiLabel.define(examples, definition)
    # Columns keep their order, names are sorted.
    assert task.classes == (("joy", "anger") if "columns" in given else ("anger", "joy"))
    assert task.targets(examples.labels, examples.place).tolist() == [[1, 1], [0, 0]]


def test_parquet_lists_of_numbers_are_read(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b"], "label": [[10, 2], []]}), tmp_path / "t.parquet")
    examples = MultiLabel.read(tmp_path / "t.parquet", Columns())
    task = MultiLabel.define(examples, Definition(max_length=8, columns=Columns()))
    assert task.classes == ("2", "10")
    assert task.targets(examples.labels, examples.place).tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "no labels: write an empty list"),
        (["joy", 0.5], "is no class"),
        ("['joy'", "no list of labels"),
        ({"joy": 2, "anger": 0}, "column 'joy' holds 2: write 1"),
        ("fear", "label 'fear' is unknown; training has 'anger', 'joy', 'pride'"),
        ("joy;anger", "the separator in the file"),
    ],
)
def test_what_is_no_list_of_known_labels_is_named_with_its_row(cell: object, message: str):
    with pytest.raises(InputError, match=message) as error:
        TASK.targets([[], cell], lambda index: f"t.csv, row {index + 2}")
    assert "t.csv, row 3" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_label_at_all_is_refused():
    with pytest.raises(InputError, match="no training example has a label"):
        MultiLabel(classes=(), max_length=8)
    with pytest.raises(InputError, match="label_separator is empty"):
        TaskOptions(label_separator="")


def test_a_label_that_is_named_twice_counts_once():
    assert label_names("joy, joy,", ",", "row 1") == ("joy",)


SETS = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=2, max_size=12)


@given(wanted=SETS, seed=st.integers(0, 99))
def test_scores_are_scikit_learns_over_the_labels_that_occur(wanted: list[tuple[bool, ...]], seed: int):
    labels, generator = np.array(wanted), np.random.default_rng(seed)
    scores = generator.normal(size=labels.shape).round(1)
    given = scores > 0
    ours = {name: metric(given, scores, labels) for name, metric in MULTI_LABEL_METRICS.items()}
    assert ours["micro_f1"] == pytest.approx(peer.f1_score(labels, given, average="micro", zero_division=0.0))
    assert ours["subset_accuracy"] == pytest.approx(peer.accuracy_score(labels, given))
    occurs, counts = labels.any(0), labels.any(0) | given.any(0)
    each = peer.f1_score(labels, given, average=None, zero_division=0.0)
    assert ours["macro_f1"] == pytest.approx(each[counts].mean() if counts.any() else 0.0)
    if occurs.any():
        precision = peer.average_precision_score(labels[:, occurs], scores[:, occurs], average="macro")
        assert ours["average_precision"] == pytest.approx(precision)


@given(
    pairs=st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=12),
)
def test_no_threshold_has_a_higher_f1_than_the_best(pairs: list[tuple[float, bool]]):
    chances, is_label = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    best = best_threshold(chances, is_label)
    assert 0 < best < 1
    if not is_label.any():
        assert best == 0.5
        return

    def f1(threshold: float) -> float:
        return float(peer.f1_score(is_label, chances >= threshold, zero_division=0.0))

    assert f1(best) == pytest.approx(max(f1(threshold) for threshold in [*chances, 1.0]))
    assert abs(chances - best).min() > 0.02  # halfway, not on a probability


def test_the_loss_is_the_mean_over_examples_and_labels():
    logits, targets = torch.randn(4, 3), torch.randint(0, 2, (4, 3)).float()
    expected = torch.nn.BCEWithLogitsLoss()(logits, targets)
    loss = TASK.loss(logits, targets, torch.arange(5)) / TASK.count(targets)
    torch.testing.assert_close(loss, expected)
    assert int(TASK.scorer.correct(logits, targets, torch.arange(5))) == int(((logits > 0) == targets.bool()).sum())


def test_a_new_head_gives_every_label_its_share():
    head = TASK.head(BertConfig(hidden_size=4, num_attention_heads=1))
    targets = torch.tensor([[1, 0, 0], [1, 0, 1], [1, 0, 0], [0, 0, 0]]).float()
    TASK.start(head, bare_instances(4, targets))
    assert probabilities(head(torch.zeros(1, 4)).detach().numpy())[0] == pytest.approx([4 / 6, 1 / 6, 2 / 6])


def test_chance_is_the_best_constant_and_right_predictions_are_perfect():
    targets = torch.tensor([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]]).float()
    instances = bare_instances(4, targets)
    # Always anger: 3 of 4 are right and none is missed but joy; every label's precision is how often it occurs.
    assert TASK.scorer.chance(instances) == {
        "average_precision": pytest.approx((0.75 + 0.25) / 2),
        "micro_f1": pytest.approx(2 * 3 / (4 + 4)),
        "macro_f1": pytest.approx(max(6 / 7 / 2, (6 / 7 + 2 / 5) / 2)),
        "subset_accuracy": 0.5,
    }
    assert TASK.scorer.perfect(instances) == dict.fromkeys(TASK.metric_names, 1.0)
    nothing = bare_instances(2, torch.zeros(2, 3))
    assert TASK.scorer.perfect(nothing)["subset_accuracy"] == 1.0


def test_labels_are_given_from_their_thresholds_on_the_likeliest_first():
    task = MultiLabel(classes=("a", "b", "c"), max_length=8, thresholds=(0.2, 0.9, 0.5))
    logits = torch.tensor([[-1.0, 2.0, 1.0], [-3.0, 1.0, -1.0]])
    first, second = task.decode(logits.numpy(), bare_instances(2))
    assert first.labels == ("c", "a")
    assert first.probabilities == pytest.approx(dict(zip("abc", [0.26894, 0.88080, 0.73106], strict=True)), abs=1e-5)
    assert first.fields() == ["c, a", "0.7311, 0.2689"]
    assert (second.labels, second.fields()) == ((), ["", ""])
    assert list(second.row()) == ["labels", "probability_a", "probability_b", "probability_c"]


def test_thresholds_are_chosen_on_dev_and_measured_elsewhere():
    logits = torch.tensor([[-1.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [-3.0, 0.0, 0.0]])
    dev = bare_instances(3, torch.tensor([[1, 0, 0], [1, 0, 0], [0, 0, 0]]).float())
    tuned = TASK.tuned(logits, dev)
    chances = probabilities(logits.numpy())[:, 0]
    assert chances[2] < tuned.thresholds[0] < chances[1]
    assert TASK.scorer.scores(logits, dev)["micro_f1"] == tuned.scorer.scores(logits, dev)["micro_f1"]
    test = bare_instances(3, torch.tensor([[0, 0, 0], [0, 0, 0], [1, 0, 0]]).float())
    assert tuned.scorer.scores(logits, test)["macro_f1"] == 0.0
    assert MultiLabel.restore(json.loads(json.dumps(tuned.description())), TASK.classes) == tuned


def test_what_is_held_out_has_its_share_of_rare_labels():
    labels = [["joy"]] * 6 + [["joy", "anger"]] * 2 + [[]]
    examples = bare_instances(9).examples
    object.__setattr__(examples, "labels", tuple(labels))
    assert TASK.strata(examples) == [2] * 6 + [1] * 2 + [0]
