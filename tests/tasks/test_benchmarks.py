from pathlib import Path

import datasets
import pytest

from bertkit.core.errors import InputError
from bertkit.tasks.benchmarks import BENCHMARKS, find_benchmark
from bertkit.tasks.classification import TextTask
from bertkit.tasks.labelled import LabelledExamples


@pytest.mark.parametrize("name", ["SST-2", "sst2", "Sst_2", "sst-2"])
def test_names_ignore_case_and_hyphens(name: str):
    assert find_benchmark(name).name == "SST-2"


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match="did you mean MRPC"):
        find_benchmark("mrcp")


def test_a_name_like_no_other_gets_the_table():
    with pytest.raises(InputError, match=r"CoLA.*SICK-relatedness"):
        find_benchmark("zzzzzz")


def test_a_missing_file_is_named_with_the_benchmark(tmp_path: Path):
    with pytest.raises(InputError, match=r"no train\.tsv, which QNLI needs"):
        find_benchmark("qnli").data(tmp_path)


def test_a_split_without_labels_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="RTE has no labelled split 'test'"):
        find_benchmark("rte").read(tmp_path, "test")


def test_glue_cola_has_no_header_and_keeps_its_quotes(tmp_path: Path):
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text('gj04\t1\t\tOne "quote.\ngj04\t0\t*\tA cat the sat.\n')
    data = find_benchmark("cola").data(tmp_path)
    assert data.train.texts == ('One "quote.', "A cat the sat.")
    assert data.train.labels == ("1", "0")
    assert data.task(32).metric_names == ("matthews", "accuracy")


def test_glue_mrpc_is_read_past_its_byte_order_mark(tmp_path: Path):
    for split in ("train", "dev"):
        text = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tA b.\tC d.\n0\t3\t4\tE.\tF.\n"
        (tmp_path / f"{split}.tsv").write_text(text, encoding="utf-8-sig")
    data = find_benchmark("mrpc").data(tmp_path)
    assert data.train.text_pairs == ("C d.", "F.")
    assert data.test is None


def test_glue_mnli_is_read_with_both_dev_sets_and_both_test_sets(tmp_path: Path):
    trees = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
    start = f"index\tpromptID\tpairID\tgenre\t{trees}\tsentence1\tsentence2"
    annotators = "\t".join(f"label{number}" for number in range(1, 6))
    endings = {"train": "\tlabel1\tgold_label", "dev": f"\t{annotators}\tgold_label", "test": ""}
    for name in ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched"):
        ending = endings[name.partition("_")[0]]
        rows = []
        for index, label in enumerate(("neutral", "entailment", "contradiction")):
            row = f'{index}\t31193n\t31193\tfiction\ta\tb\t(S a)\t(S b)\tHe said "{name}.\tIt is {index}.'
            rows.append(row + "\tneutral" * (ending.count("\t") - 1) + (f"\t{label}" if ending else ""))
        (tmp_path / f"{name}.tsv").write_text("\n".join([start + ending, *rows]) + "\n")
    row = find_benchmark("mnli")
    data = row.data(tmp_path)
    assert data.task(32).classes == ("contradiction", "entailment", "neutral")
    assert isinstance(data.dev, LabelledExamples)
    assert data.dev.texts[0] == 'He said "dev_matched.'
    assert data.dev.labels == ("neutral", "entailment", "contradiction")
    (mismatched,) = data.further_dev.values()
    assert isinstance(mismatched, LabelledExamples)
    assert mismatched.texts[2] == 'He said "dev_mismatched.'
    assert mismatched == row.read(tmp_path, "dev_mismatched")
    test = row.read_unlabelled(tmp_path, "test_mismatched")
    assert test.record(1) == {"text": 'He said "test_mismatched.', "text_pair": "It is 1."}


def test_glue_qqp_leaves_out_broken_rows_and_counts_them_but_predicts_each(tmp_path: Path):
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    whole = '133273\t213221\t213222\tHow is the "life?\tHow are you?\t0\n402555\t1\t2\tWhy?\tWhy so?\t1\n'
    cut_in_two = "360472\t364011\t490273\tWhat causes\nstool color to change?\t1\n"
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text(header + whole + cut_in_two + "7\t3\t4\t\tIs it empty?\t0\n")
    (tmp_path / "test.tsv").write_text("id\tquestion1\tquestion2\n0\tWould I?\tCould I?\n1\tAm I?\t\n2\tWho?\n")
    row = find_benchmark("qqp")
    train = row.data(tmp_path).train
    assert isinstance(train, LabelledExamples)
    assert train.texts == ('How is the "life?', "Why?")
    assert train.labels == ("0", "1")
    (warning,) = train.warnings
    assert warning == f"3 of 5 rows lack a field or a text and are left out, the first: {tmp_path / 'train.tsv'}, row 4"
    test = row.read_unlabelled(tmp_path, "test")
    assert [test.record(index)["text_pair"] for index in range(len(test))] == ["Could I?", "", ""]
    assert "2 of 3 rows lack a field or a text and are read with an empty one" in test.warnings[0]


def test_glue_ax_has_no_training_set_and_its_labels_are_in_the_full_file(tmp_path: Path):
    row = find_benchmark("ax")
    assert row.folder(tmp_path).name == "AX"
    (tmp_path / "diagnostic").mkdir()  # as the official script calls it
    assert row.folder(tmp_path).name == "diagnostic"
    with pytest.raises(InputError, match="AX has no training set: fine-tune on MNLI"):
        row.data(tmp_path)
    header = "Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel\n"
    (tmp_path / "diagnostic-full.tsv").write_text(
        header + "\t\tNegation\t\tArtificial\tA sat.\tA stood.\tcontradiction\n"
    )
    examples = row.read(tmp_path, "test")
    assert isinstance(examples, LabelledExamples)
    assert (examples.texts, examples.text_pairs, examples.labels) == (("A sat.",), ("A stood.",), ("contradiction",))


def test_glue_comes_from_the_hub_with_the_labels_of_the_files(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def load_dataset(name: str, configuration: str, split: str, streaming: bool) -> list[dict[str, object]]:
        asked.append((name, configuration, split))
        label = -1 if split.startswith("test") else 2
        return [{"premise": f"in {split}", "hypothesis": "b", "label": label, "idx": 0}]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    row = find_benchmark("mnli")
    place = row.folder(Path("nyu-mll/glue"))
    assert row.missing(place) == []
    mismatched = row.data(place).further_dev["mismatched"]
    assert isinstance(mismatched, LabelledExamples)
    assert (mismatched.texts, mismatched.labels) == (("in validation_mismatched",), ("contradiction",))
    assert row.read_unlabelled(place, "test_matched").record(0) == {"text": "in test_matched", "text_pair": "b"}
    splits = ("train", "validation_matched", "validation_mismatched", "test_matched")
    assert asked == [("nyu-mll/glue", "mnli", split) for split in splits]
    with pytest.raises(InputError, match="label -1 is none of 0 to 2"):
        find_benchmark("ax").read(place, "test")


def test_a_folder_that_is_none_is_told_of_the_hub(tmp_path: Path):
    with pytest.raises(InputError, match="give the folder with the files of RTE, or nyu-mll/glue for the hub's"):
        find_benchmark("rte").data(tmp_path / "nowhere")


def test_imdb_takes_its_dev_set_from_the_training_file(tmp_path: Path):
    header = "label\trating\tid\tsubset\ttext\n"
    rows = "1\t9\ta\ttrain\tgood\n0\t1\tb\tval\tbad\n0\t1\tc\ttrain\tweak\n"
    (tmp_path / "train.tsv").write_text(header + rows)
    (tmp_path / "test.tsv").write_text(header + "1\t9\td\ttest\tfine\n")
    data = find_benchmark("imdb").data(tmp_path)
    assert data.dev is not None
    assert data.test is not None
    assert (data.train.texts, data.dev.texts, data.test.texts) == (("good", "weak"), ("bad",), ("fine",))
    assert data.dev.place(0) == f"{tmp_path / 'train.tsv'}, row 3"


SIZES = {
    "SST-2": ("glue/SST-2", 67349, 872, None),
    "CoLA": ("glue/CoLA", 8551, 1043, None),
    "MRPC": ("glue/MRPC", 3668, 408, None),
    "STS-B": ("glue/STS-B", 5749, 1500, None),
    "RTE": ("glue/RTE", 2490, 277, None),
    "WNLI": ("glue/WNLI", 635, 71, None),
    "SST-2-sentences": ("sst2", 6920, 872, 1821),
    "IMDb": ("classification/imdb", 20000, 5000, 25000),
    "GoEmotions": ("classification/goemotions", 43410, 5426, 5427),
    "SICK-entailment": ("nli/sick", 4500, 500, 4927),
    "SICK-relatedness": ("nli/sick", 4500, 500, 4927),
    "SQuAD-1.1": ("squad", 87599, 10570, None),
    "ARC-easy": ("multiple_choice/arc", 2142, 548, None),
    "CoNLL-2003": ("conll2003", 14041, 3250, 3453),
}


def test_every_row_is_checked_on_its_real_files():
    assert {row.name for row in BENCHMARKS} == {
        *SIZES,
        *("QNLI", "QQP", "MNLI", "AX", "SQuAD-2.0", "SWAG", "ARC-challenge"),
    }


@pytest.mark.parametrize("name", list(SIZES))
def test_the_real_files_have_the_published_sizes_and_good_labels(shared_data: Path, name: str):
    folder, *sizes = SIZES[name]
    data = find_benchmark(name).data(shared_data / folder)
    assert [part and len(part) for part in (data.train, data.dev, data.test)] == sizes
    task = data.task(128)
    for part in (data.train, data.dev, data.test):
        if part is not None:
            # Two tags of CoNLL-2003's training file are no IOB1.
            assert len(part.warnings) == (name == "CoNLL-2003" and part is data.train)
        if isinstance(part, LabelledExamples) and isinstance(task, TextTask):
            assert len(task.targets(part.labels, part.place)) == len(part)
    if name == "SICK-entailment":
        assert task.classes == ("CONTRADICTION", "ENTAILMENT", "NEUTRAL")
    if name == "GoEmotions":
        assert (len(task.classes), task.classes[0], data.dev.labels[1]) == (28, "admiration", ["approval", "neutral"])
    if name == "RTE":
        assert task.classes == ("entailment", "not_entailment")


def test_the_real_qnli_dev_set_is_read(shared_data: Path):
    examples = find_benchmark("QNLI").read(shared_data / "glue/QNLI", "dev")
    assert len(examples) == 5463
    assert set(examples.labels) == {"entailment", "not_entailment"}
