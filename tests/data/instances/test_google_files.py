import json
import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from bertkit.cli.main import run
from bertkit.core.errors import InputError
from bertkit.core.workers import EngineOptions
from bertkit.data.corpus import write_shards
from bertkit.data.corpus.options import PrepareOptions
from bertkit.data.corpus.prepare import prepare
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances import google_files
from bertkit.data.instances.fixed import FixedInstances, open_prepared
from bertkit.data.instances.google_files import InstanceManifest, prepare_static
from bertkit.data.instances.loader import PretrainingLoader
from bertkit.data.instances.options import StaticOptions
from reference_instances import Procedure
from tiny_corpora import contents, make_text

OPTIONS = StaticOptions(seq_length=48, dupe_factor=3, whole_word=True, random_seed=5)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(make_text(60))
    return path


@pytest.fixture
def fixed(tmp_path, text, tokenizer):
    prepare_static([text], tokenizer, tmp_path / "fixed", static=OPTIONS)
    return FixedInstances.open(tmp_path / "fixed")


def as_tuples(batches):
    """Every sequence of the batches as (ids, segment ids, masked places, labels, label of the pair)."""
    for batch in batches:
        bounds = batch.inputs.cu_seqlens.tolist()
        for number, (start, stop) in enumerate(pairwise(bounds)):
            mine = (batch.masked_positions >= start) & (batch.masked_positions < stop)
            yield (
                batch.inputs.input_ids[start:stop].tolist(),
                batch.inputs.token_type_ids[start:stop].tolist(),
                (batch.masked_positions[mine] - start).tolist(),
                batch.masked_labels[mine].tolist(),
                int(batch.next_sentence_labels[number]),
            )


def in_order(fixed):
    return [
        next(as_tuples(fixed.batches(0, np.array([row]), numbers=np.array([row]), micro_batch_tokens=1)))
        for row in range(fixed.count(0))
    ]


def test_the_folder_holds_the_stream_in_its_order(fixed, text, tokenizer):
    vocabulary = list(tokenizer.wordpiece.vocabulary)
    documents = [
        [tokens for line in block.splitlines() if (tokens := [*_tokens(tokenizer, line)])]
        for block in text.read_text().split("\n\n")
    ]
    procedure = Procedure(vocabulary, seq_length=48, dupe_factor=3, whole_word=True)
    ids = {token: i for i, token in enumerate(vocabulary)}
    expected = [
        (
            [ids[t] for t in instance.tokens],
            instance.segments,
            instance.positions,
            [ids[t] for t in instance.labels],
            int(instance.is_random),
        )
        for instance in procedure.run(documents, random.Random(5))
    ]
    assert in_order(fixed) == expected
    manifest = fixed.manifest
    assert (manifest.documents, manifest.instances) == (60, len(expected))
    assert manifest.tokens == sum(len(instance[0]) for instance in expected)
    assert manifest.predictions == sum(len(instance[2]) for instance in expected)
    assert manifest.static == OPTIONS and fixed.tokenizer.fingerprint == tokenizer.fingerprint


def _tokens(tokenizer, line):
    return [tokenizer.id_to_token(i) for i in tokenizer.encode(line, split_special_tokens=True).input_ids[1:-1]]


def test_micro_batches_hold_the_asked_instances_longest_first(fixed):
    rows = np.array([7, 3, 3, 40, 11])
    batches = fixed.batches(9, rows, numbers=rows, micro_batch_tokens=100)
    lengths = [length for batch in batches for length in batch.inputs.cu_seqlens.diff().tolist()]
    assert lengths == sorted(lengths, reverse=True)
    assert all(batch.inputs.num_tokens <= 100 for batch in batches)
    everything = in_order(fixed)
    assert sorted(as_tuples(batches)) == sorted(everything[row] for row in rows)
    assert batches[0].inputs.input_ids.dtype == batches[0].masked_labels.dtype == torch.int64


def test_the_loader_gives_every_instance_in_an_order_of_seed_and_step(fixed):
    def loader(seed):
        return PretrainingLoader(fixed, batch_size=4, micro_batch_tokens=10**6, seed=seed)

    steps = loader(1).steps_per_epoch
    epochs = [
        [s for step in range(e * steps, (e + 1) * steps) for s in as_tuples(loader(1).batch(step))] for e in (0, 1)
    ]
    assert len(epochs[0]) == fixed.count(0) // 4 * 4 and epochs[0] != epochs[1]
    assert set(map(str, epochs[0])) <= set(map(str, in_order(fixed)))
    assert len(set(map(str, epochs[0]))) > 0.95 * len(epochs[0])
    assert list(as_tuples(loader(1).batch(5))) == list(as_tuples(loader(1).batch(5)))
    assert list(as_tuples(loader(1).batch(5))) != list(as_tuples(loader(2).batch(5)))


def test_any_number_of_workers_gives_the_same_bytes(tmp_path, text, tokenizer, monkeypatch):
    monkeypatch.setattr(write_shards, "SHARD_BYTES", 3000)
    for workers in (1, 2):
        prepare_static([text], tokenizer, tmp_path / str(workers), PrepareOptions(workers=workers), OPTIONS)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert not list((tmp_path / "1").glob("shard-*")) and not (tmp_path / "1" / ".prepare" / "corpus").exists()


def test_a_call_that_died_is_made_again_to_the_same_bytes(tmp_path, text, tokenizer, monkeypatch):
    prepare_static([text], tokenizer, tmp_path / "whole", static=OPTIONS)

    def die(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(google_files.StaticStream, "order", die)
        with pytest.raises(KeyboardInterrupt):
            prepare_static([text], tokenizer, tmp_path / "killed", static=OPTIONS)
    with pytest.raises(InputError, match=r"no manifest\.json"):
        open_prepared(tmp_path / "killed")
    prepare_static([text], tokenizer, tmp_path / "killed", static=OPTIONS)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_damaged_array_is_named_and_mended_by_the_same_call(tmp_path, text, tokenizer, fixed):
    whole = contents(tmp_path / "fixed")
    path = tmp_path / "fixed" / "instances.masked_labels.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x09")
    with pytest.raises(InputError, match=r"instances\.masked_labels\.npy was changed .* run the same"):
        open_prepared(tmp_path / "fixed")
    prepare_static([text], tokenizer, tmp_path / "fixed", static=OPTIONS)
    assert contents(tmp_path / "fixed") == whole


def test_a_failed_mending_keeps_what_is_whole(tmp_path, text, tokenizer, fixed):
    path = tmp_path / "fixed" / "instances.masked_labels.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x09")
    before = contents(tmp_path / "fixed")
    options = PrepareOptions(engine=EngineOptions(engine="ray", ray_address="head:x"))
    with pytest.raises(InputError, match="head:x"):
        prepare_static([text], tokenizer, tmp_path / "fixed", options, OPTIONS)
    assert contents(tmp_path / "fixed") == before


def test_the_two_kinds_of_folders_do_not_pass_for_each_other(tmp_path, text, tokenizer, fixed):
    prepare([text], tokenizer, tmp_path / "corpus")
    assert isinstance(open_prepared(tmp_path / "corpus"), PreparedCorpus)
    assert isinstance(open_prepared(tmp_path / "fixed"), FixedInstances)
    with pytest.raises(InputError, match="without --static"):
        PreparedCorpus.open(tmp_path / "fixed")
    with pytest.raises(InputError, match="with --static"):
        InstanceManifest.read(tmp_path / "corpus")
    with pytest.raises(InputError, match="--overwrite"):
        prepare([text], tokenizer, tmp_path / "fixed")
    prepare([text], tokenizer, tmp_path / "fixed", PrepareOptions(overwrite=True))
    assert contents(tmp_path / "fixed") == contents(tmp_path / "corpus")


def test_other_options_make_another_folder(tmp_path, text, tokenizer, fixed):
    with pytest.raises(InputError, match="--overwrite"):
        prepare_static([text], tokenizer, tmp_path / "fixed", static=StaticOptions(seq_length=48))
    with pytest.raises(InputError, match="not UTF-8"):
        (tmp_path / "bad.txt").write_bytes(b"\xff")
        prepare_static([tmp_path / "bad.txt"], tokenizer, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"dupe_factor": 0},
        {"masked_lm_prob": 1.0},
        {"max_predictions_per_seq": 0},
        {"seq_length": 3},
        {"short_seq_prob": 2},
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        StaticOptions(**wrong)


class TestCommands:
    @pytest.fixture
    def arguments(self, tmp_path, text, tokenizer):
        tokenizer.save_pretrained(tmp_path / "tokenizer")
        return ["prepare", str(text), "--tokenizer", str(tmp_path / "tokenizer"), "--workers", "1", "--out"]

    def test_a_run_reads_fixed_instances(self, tmp_path, arguments, capsys):
        static = ["--static", "--dupe-factor", "2", "--seq-length", "32", "--max-predictions-per-seq", "5"]
        assert run([*arguments, str(tmp_path / "data"), *static]) == 0
        assert "instances" in capsys.readouterr().out
        assert run([*arguments, str(tmp_path / "rest"), *static, "--random-seed", "1"]) == 0
        manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
        assert (manifest["kind"], manifest["static"]["dupe_factor"]) == ("instances", 2)
        pretrain = ["pretrain", str(tmp_path / "data"), "--preset", "tiny", "--steps", "2", "--batch-size", "4"]
        pretrain += ["--precision", "float32", "--out", str(tmp_path / "run")]
        assert run(pretrain) != 0
        assert "--held-out" in capsys.readouterr().err
        pretrain += ["--held-out", str(tmp_path / "rest")]
        assert run([*pretrain, "--seq-length", "64"]) != 0
        assert "fixed instances with seq_length 32, not 64" in capsys.readouterr().err
        assert run([*pretrain, "--no-nsp"]) != 0
        assert "next_sentence" in capsys.readouterr().err
        assert run(pretrain) == 0
        assert "rest/masked_lm" in capsys.readouterr().out
        assert (tmp_path / "run" / "model" / "model.safetensors").is_file()

    def test_options_of_fixed_instances_need_static(self, tmp_path, arguments, capsys):
        assert run([*arguments, str(tmp_path / "data"), "--dupe-factor", "2"]) != 0
        assert "need --static" in capsys.readouterr().err
        assert not (tmp_path / "data").exists()
