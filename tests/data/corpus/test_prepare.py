import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bertkit.cli.main import USER_ERROR, run
from bertkit.core.errors import InputError, ResourceError
from bertkit.core.files import exclusive
from bertkit.core.workers import EngineOptions
from bertkit.data.corpus import output_folder, write_shards
from bertkit.data.corpus.documents import read_documents
from bertkit.data.corpus.options import CorpusOptions, DuplicateOptions, PrepareOptions
from bertkit.data.corpus.prepare import prepare
from bertkit.data.corpus.prepared import PreparedCorpus
from bertkit.data.instances.options import InstanceOptions
from bertkit.data.instances.sampling import plan_epoch
from bertkit.data.readers import text as text_reader
from bertkit.text.bulk_encoder import ChunkEncoder
from tiny_corpora import contents, make_text, spy


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(make_text(60))
    return path


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(write_shards, "SHARD_BYTES", 3000)


def test_the_shards_hold_the_corpus(tmp_path, text, tokenizer, small_shards):
    manifest = prepare([text], tokenizer, tmp_path / "out")
    assert len(manifest.shards) > 4
    corpus = PreparedCorpus.open(tmp_path / "out")
    documents = list(read_documents([text], CorpusOptions()))
    ids, lengths = ChunkEncoder(tokenizer).encode_lines([s for d in documents for s in d])
    assert corpus.tokens(0, corpus.num_tokens).tolist() == ids.tolist()
    assert np.diff(corpus.sentence_tokens).tolist() == lengths.tolist()
    assert np.diff(corpus.document_sentences).tolist() == [len(d) for d in documents]
    assert corpus.tokens(3, 4).dtype == np.uint16
    assert corpus.tokenizer.fingerprint == tokenizer.fingerprint == corpus.tokenizer_fingerprint


def test_any_number_of_workers_gives_the_same_bytes(tmp_path, text, tokenizer, small_shards):
    prepare([text], tokenizer, tmp_path / "one", PrepareOptions(workers=1))
    prepare([text], tokenizer, tmp_path / "two", PrepareOptions(workers=2))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_many_small_files_are_the_documents_of_one(tmp_path, text, tokenizer):
    (tmp_path / "files").mkdir()
    for number, document in enumerate(text.read_text().split("\n\n")):
        (tmp_path / "files" / f"{number:03d}.txt").write_text(document)
        (tmp_path / "files" / f"{number:03d}-blank.txt").write_text("\n \x0c\n" if number % 2 else "")
    prepare([text], tokenizer, tmp_path / "one")
    prepare([tmp_path / "files"], tokenizer, tmp_path / "many")
    one, many = (contents(tmp_path / name) for name in ("one", "many"))
    shards = [name for name in one if name.startswith("shard-")]
    assert len(shards) == 3
    assert all(one[name] == many[name] for name in shards)


def test_what_has_no_token_is_left_out(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("the cat\n\x00\x01\n\n\x02\n\na mat\n")
    manifest = prepare([tmp_path / "a.txt"], tokenizer, tmp_path / "out")
    assert (manifest.documents, manifest.sentences) == (2, 2)


def test_finished_shards_are_not_made_again(tmp_path, text, tokenizer, small_shards, monkeypatch):
    out = tmp_path / "out"
    prepare([text], tokenizer, out)
    whole = contents(out)
    # As a kill leaves it: two shards missing, one without its record, one half-written.
    (out / "manifest.json").unlink()
    for name in ("shard-00001.tokens.npy", "shard-00002.sentences.npy", ".prepare/shard-00003.json"):
        (out / name).unlink()
    (out / ".shard-00001.tokens.npy.0123456789abcdef.partial").write_bytes(b"half")
    encoded = []
    monkeypatch.setattr(write_shards, "write_shard", spy(write_shards.write_shard, encoded))
    prepare([text], tokenizer, out)
    assert contents(out) == whole
    assert len(encoded) == 3
    prepare([text], tokenizer, out)
    assert len(encoded) == 3


def test_a_killed_call_goes_on_to_the_same_bytes(tmp_path, text, tokenizer, monkeypatch):
    monkeypatch.setattr(write_shards, "SHARD_BYTES", 1000)
    shards = len(prepare([text], tokenizer, tmp_path / "whole").shards)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    script = tmp_path / "run.py"
    script.write_text(
        "from bertkit.data.corpus import write_shards\n"
        "import bertkit.data.corpus.prepare as module\n"
        "from bertkit.text.tokenizer import Tokenizer\n"
        "if __name__ == '__main__':\n"
        "    write_shards.SHARD_BYTES = 1000\n"
        f"    tokenizer = Tokenizer.from_pretrained({str(tmp_path / 'tokenizer')!r})\n"
        f"    options = module.PrepareOptions(workers=2)\n"
        f"    module.prepare([{str(text)!r}], tokenizer, {str(tmp_path / 'killed')!r}, options)\n"
    )
    with subprocess.Popen([sys.executable, script]) as process:
        while len(list((tmp_path / "killed").glob("*.tokens.npy"))) < shards // 4:
            time.sleep(0.002)
        process.kill()
    with pytest.raises(InputError, match=r"not a prepared corpus \(no manifest\.json\)"):
        PreparedCorpus.open(tmp_path / "killed")
    prepare([text], tokenizer, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_files_that_would_be_replaced_is_refused_and_keeps_them(tmp_path, tokenizer, overwrite):
    (tmp_path / "shard-1.txt").write_bytes(b"a cat\n\nsat \xff\n")
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"holds tokenizer, which .* would be lost"):
        prepare([tmp_path / "shard-1.txt"], tokenizer, tmp_path, PrepareOptions(overwrite=overwrite))
    assert contents(tmp_path) == before


def test_overwriting_keeps_what_was_put_beside_the_shards(tmp_path, text, tokenizer):
    out = tmp_path / "out"
    prepare([text], tokenizer, out)
    (out / "shard-notes.txt").write_text("mine")
    prepare([text], tokenizer, out, PrepareOptions(corpus=CorpusOptions(lines="paragraph"), overwrite=True))
    assert (out / "shard-notes.txt").read_text() == "mine"


def test_another_preparation_in_the_folder_is_refused_unless_overwritten(tmp_path, text, tokenizer):
    out = tmp_path / "out"
    prepare([text], tokenizer, out)
    before = contents(out)
    other = PrepareOptions(corpus=CorpusOptions(lines="paragraph"))
    with pytest.raises(InputError, match="--overwrite"):
        prepare([text], tokenizer, out, other)
    text.write_text(make_text(59))
    with pytest.raises(InputError, match="--overwrite"):
        prepare([text], tokenizer, out)
    assert contents(out) == before
    assert prepare([text], tokenizer, out, PrepareOptions(overwrite=True)).documents == 59
    assert PreparedCorpus.open(out).num_documents == 59


@pytest.mark.parametrize("bad", [b"\xff\n", b""], ids=["not UTF-8", "empty"])
def test_overwriting_with_a_text_that_cannot_be_read_keeps_the_old_corpus(tmp_path, text, tokenizer, bad):
    out = tmp_path / "out"
    prepare([text], tokenizer, out)
    (out / "mine").mkdir()
    (out / "mine" / "note").write_text("keep")
    before = contents(out)
    (tmp_path / "bad.txt").write_bytes(bad)
    with pytest.raises(InputError, match=r"not UTF-8|empty"):
        prepare([tmp_path / "bad.txt"], tokenizer, out, PrepareOptions(overwrite=True))
    assert contents(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.txt", "out", "text.txt"]


def test_overwriting_leaves_what_a_new_preparation_does_and_what_others_keep_there(tmp_path, text, tokenizer):
    other = PrepareOptions(corpus=CorpusOptions(lines="paragraph"), overwrite=True)
    prepare([text], tokenizer, tmp_path / "new", other)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    prepare([text], tokenizer, tmp_path / "out")
    (tmp_path / "elsewhere" / "mine").mkdir()
    (tmp_path / "elsewhere" / "mine" / "note").write_text("keep")
    (tmp_path / "elsewhere" / "link").symlink_to("mine/note")
    prepare([text], tokenizer, tmp_path / "out", other)
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "elsewhere" / "mine" / "note").read_text() == "keep"
    assert (tmp_path / "elsewhere" / "link").readlink() == Path("mine/note")
    found = contents(tmp_path / "elsewhere")
    assert {name for name in found if name not in contents(tmp_path / "new")} == {"mine/note", "link"}
    assert contents(tmp_path / "new").items() <= found.items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "new", "out", "text.txt"]


@pytest.mark.parametrize("moment", range(4))
def test_an_overwriting_that_is_killed_leaves_the_old_corpus_or_the_new_one(
    tmp_path, text, tokenizer, small_shards, monkeypatch, moment
):
    out = tmp_path / "out"
    prepare([text], tokenizer, out)
    old = contents(out)
    new_text = tmp_path / "new.txt"
    new_text.write_text(make_text(59))
    prepare([new_text], tokenizer, tmp_path / "whole")
    places = [
        (write_shards, "finished_shard"),
        (output_folder, "_carry_over"),
        (output_folder, "replace_with_own"),
    ]

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        if moment == 3:  # after the exchange
            replace = output_folder.replace_with_own
            patched.setattr(output_folder, "replace_with_own", lambda *names: (replace(*names), killed()))
        else:
            patched.setattr(*places[moment], killed)
        prepare([new_text], tokenizer, out, PrepareOptions(overwrite=True))
    found = {name: digest for name, digest in contents(out).items() if not name.startswith(".prepare/next")}
    assert found == (contents(tmp_path / "whole") if moment == 3 else old)
    prepare([new_text], tokenizer, out, PrepareOptions(overwrite=True))
    assert contents(out) == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.txt", "out", "text.txt", "whole"]


@pytest.mark.parametrize("workers", [1, 2])
def test_unreadable_text_leaves_nothing(tmp_path, text, tokenizer, small_shards, workers):
    text.write_bytes(text.read_bytes() + b"\n\xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        prepare([text], tokenizer, tmp_path / "out", PrepareOptions(workers=workers))
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    (tmp_path / "mine" / "shard-1.txt").write_text("keep")
    with pytest.raises(InputError, match="not UTF-8"):
        prepare([text], tokenizer, tmp_path / "mine", PrepareOptions(workers=workers))
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["note", "shard-1.txt"]


@pytest.mark.parametrize("kind", ["killed", "damaged"])
@pytest.mark.parametrize("options", [{}, {"duplicates": DuplicateOptions(drop_duplicates="documents")}])
def test_a_mistake_takes_nothing_from_what_an_earlier_call_finished(tmp_path, text, tokenizer, kind, options):
    out = tmp_path / "out"
    prepare([text], tokenizer, out, PrepareOptions(**options))
    if kind == "killed":
        (out / "manifest.json").unlink()
    else:
        (out / "shard-00000.tokens.npy").write_bytes(b"damaged")
    before = contents(out)
    unreachable = EngineOptions(engine="ray", ray_address="head:x")
    with pytest.raises(InputError, match="--ray-address head:x is no address"):
        prepare([text], tokenizer, out, PrepareOptions(**options, engine=unreachable))
    assert contents(out) == before


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fails_keeps_what_is_done(tmp_path, text, tokenizer, small_shards, monkeypatch, workers):
    (tmp_path / "later.txt").write_text(make_text(5))
    sources, options = [text, tmp_path / "later.txt"], PrepareOptions(workers=workers)
    prepare(sources, tokenizer, tmp_path / "whole", options)

    def read(file, buffer, original=text_reader._CountedFile.readinto):
        if file.name == tmp_path / "later.txt":
            raise OSError(errno.EIO, "Input/output error")
        return original(file, buffer)

    with (
        monkeypatch.context() as patch,
        pytest.raises(ResourceError, match=r"later\.txt cannot be read \(Input/output"),
    ):
        patch.setattr(text_reader._CountedFile, "readinto", read)
        prepare(sources, tokenizer, tmp_path / "out", options)
    made = list((tmp_path / "out" / ".prepare").glob("shard-*.json"))
    assert len(made) > 4
    times = [path.stat().st_mtime_ns for path in made]
    prepare(sources, tokenizer, tmp_path / "out", options)
    assert [path.stat().st_mtime_ns for path in made] == times
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_failure_before_anything_is_done_leaves_nothing(tmp_path, tokenizer, monkeypatch):
    import datasets

    def load_dataset(*names, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ResourceError, match="no route"):
        prepare(["someone/texts"], tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_hub_that_breaks_off_keeps_what_is_done(tmp_path, tokenizer, small_shards, monkeypatch):
    import datasets

    def load_dataset(*names, breaks, **options):
        yield from ({"text": document} for document in make_text(60).split("\n\n"))
        if breaks:
            raise ConnectionError("the line\nis dead")

    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **options: load_dataset(breaks=True))
    with pytest.raises(ResourceError, match=r"^the data set someone/texts broke off \(the line\): .* run it again$"):
        prepare(["someone/texts"], tokenizer, tmp_path / "out")
    made = contents(tmp_path / "out")
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **options: load_dataset(breaks=False))
    prepare(["someone/texts"], tokenizer, tmp_path / "out")
    assert len(made.items() & contents(tmp_path / "out").items()) > 12


def test_a_tokenizer_and_out_in_the_corpus_folder_are_no_text(tmp_path, text, tokenizer):
    folder = tmp_path / "corpus"
    folder.mkdir()
    text.rename(folder / "text.txt")
    (folder / "vocab.txt").write_text("the cat\n")  # beside nothing of a tokenizer: text
    tokenizer.save_pretrained(folder / "tokenizer")
    for _ in range(2):
        assert prepare([folder], tokenizer, folder / "data").documents == 61


def test_no_source_at_all_is_told(tmp_path, tokenizer):
    with pytest.raises(InputError, match="no text is given: name files"):
        prepare([], tokenizer, tmp_path / "out")


def test_text_without_tokens_is_an_empty_corpus(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("\x01\n\n\x02\n")
    with pytest.raises(InputError, match="the corpus is empty"):
        prepare([tmp_path / "a.txt"], tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_document_is_prepared_with_a_warning(tmp_path, tokenizer, capsys):
    (tmp_path / "a.txt").write_text("the cat\na mat\n")
    assert prepare([tmp_path / "a.txt"], tokenizer, tmp_path / "out").documents == 1
    assert "--no-nsp" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(tmp_path, text, tokenizer):
    with exclusive(tmp_path / "out"), pytest.raises(ResourceError, match="in use"):
        prepare([text], tokenizer, tmp_path / "out")


def test_preparing_does_not_import_torch(tmp_path, text, tokenizer):
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    code = (
        "import sys; from bertkit.data.corpus.prepare import prepare; from bertkit.text.tokenizer import Tokenizer;"
        f"tokenizer = Tokenizer.from_pretrained({str(tmp_path / 'tokenizer')!r});"
        f"prepare([{str(text)!r}], tokenizer, {str(tmp_path / 'out')!r});"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestPreparedCorpus:
    def test_a_cut_shard_is_named(self, tmp_path, text, tokenizer):
        prepare([text], tokenizer, tmp_path / "out")
        path = tmp_path / "out" / "shard-00000.tokens.npy"
        os.truncate(path, path.stat().st_size - 2)
        with pytest.raises(InputError, match=r"shard-00000\.tokens\.npy has \d+ bytes instead of \d+: run the same"):
            PreparedCorpus.open(tmp_path / "out", verify=False)
        path.unlink()
        with pytest.raises(InputError, match=r"shard-00000\.tokens\.npy is missing"):
            PreparedCorpus.open(tmp_path / "out")

    def test_a_changed_shard_is_named_and_mended_by_the_same_call(self, tmp_path, text, tokenizer):
        prepare([text], tokenizer, tmp_path / "out")
        whole = contents(tmp_path / "out")
        path = tmp_path / "out" / "shard-00000.tokens.npy"
        path.write_bytes(path.read_bytes()[:-1] + b"\x09")
        with pytest.raises(InputError, match=r"shard-00000\.tokens\.npy was changed"):
            PreparedCorpus.open(tmp_path / "out")
        prepare([text], tokenizer, tmp_path / "out")
        assert contents(tmp_path / "out") == whole

    def test_a_changed_tokenizer_is_named(self, tmp_path, text, tokenizer):
        prepare([text], tokenizer, tmp_path / "out")
        type(tokenizer).train(make_text(5).splitlines(), vocab_size=70).save_pretrained(tmp_path / "out" / "tokenizer")
        with pytest.raises(InputError, match="was changed since"):
            _ = PreparedCorpus.open(tmp_path / "out").tokenizer

    def test_another_format_is_refused(self, tmp_path, text, tokenizer):
        prepare([text], tokenizer, tmp_path / "out")
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        (tmp_path / "out" / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
        with pytest.raises(InputError, match="another format"):
            PreparedCorpus.open(tmp_path / "out")

    def test_tokens_run_across_shards(self, tmp_path, text, tokenizer, small_shards):
        prepare([text], tokenizer, tmp_path / "out")
        corpus = PreparedCorpus.open(tmp_path / "out")
        every = corpus.tokens(0, corpus.num_tokens)
        border = int(corpus.shard_tokens[2])
        for start, stop in ((border - 3, border + 3), (border, border + 1), (5, border + 900), (7, 7)):
            assert corpus.tokens(start, stop).tolist() == every[start:stop].tolist()

    def test_a_moved_folder_works(self, tmp_path, text, tokenizer):
        prepare([text], tokenizer, tmp_path / "out")
        shutil.move(tmp_path / "out", tmp_path / "moved")
        assert PreparedCorpus.open(tmp_path / "moved").num_documents == 60

    def test_a_split_shares_the_documents_out(self, corpus):
        rest, held_out = corpus.split(0.25, seed=1)
        assert (rest.num_documents, held_out.num_documents) == (30, 10)
        assert sorted([*rest.documents, *held_out.documents]) == corpus.documents.tolist()
        assert rest.num_tokens + held_out.num_tokens == corpus.num_tokens
        assert rest.num_sentences + held_out.num_sentences == corpus.num_sentences
        assert corpus.split(0.25, seed=1)[1].documents.tolist() == held_out.documents.tolist()
        assert corpus.split(0.25, seed=2)[1].documents.tolist() != held_out.documents.tolist()

    def test_both_parts_of_a_split_can_have_pairs(self, make_corpus):
        corpus = make_corpus([[3], [4], [5], [6]])
        for share in (0.01, 0.99):
            assert [part.num_documents for part in corpus.split(share, seed=1)] == [2, 2]

    @pytest.mark.parametrize(("share", "sentences"), [(0.01, [4, 1]), (0.4, [3, 2]), (0.99, [1, 4])])
    def test_of_one_document_the_last_sentences_are_held_out(self, make_corpus, share, sentences):
        corpus = make_corpus([[3, 2, 5, 1, 4]])
        parts = corpus.split(share, seed=1)
        assert [part.num_documents for part in parts] == [1, 1]
        assert [part.num_sentences for part in parts] == sentences
        assert sum(part.num_tokens for part in parts) == corpus.num_tokens
        plans = [plan_epoch(part, InstanceOptions(seq_length=8, next_sentence=False), 1, 0) for part in parts]
        assert plans[0].a_length.sum() == plans[1].a_start.min() == parts[0].num_tokens

    def test_of_one_sentence_nothing_can_be_held_out(self, make_corpus):
        with pytest.raises(InputError, match=r"one sentence.*--held-out"):
            make_corpus([[3]]).split(0.5, seed=1)


def test_two_workers_of_a_local_ray_write_the_same_bytes(tmp_path, tokenizer):
    (tmp_path / "text.txt").write_text(make_text(400) * 60)  # two shards
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    command = ["prepare", str(tmp_path / "text.txt"), "--tokenizer", str(tmp_path / "tokenizer"), "--out"]
    drop = ["--drop-duplicates", "documents"]
    assert run([*command, str(tmp_path / "ray"), "--engine", "ray", "--workers", "2", *drop]) == 0
    assert run([*command, str(tmp_path / "one"), "--workers", "1", *drop]) == 0
    assert contents(tmp_path / "ray") == contents(tmp_path / "one")


def test_ray_that_is_not_installed_is_one_line(tmp_path, tokenizer, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "text.txt").write_text(make_text(3))
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    command = ["prepare", str(tmp_path / "text.txt"), "--tokenizer", str(tmp_path / "tokenizer"), "--engine", "ray"]
    assert run([*command, "--out", str(tmp_path / "out")]) == USER_ERROR
    assert "pip install 'bertkit[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
