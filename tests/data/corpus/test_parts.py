import json
import shutil

import pytest

from bertkit.core.errors import InputError, ResourceError
from bertkit.core.files import exclusive, write_json
from bertkit.core.workers import MachineShard
from bertkit.data.corpus import write_shards
from bertkit.data.corpus.options import CorpusOptions, DuplicateOptions, PrepareOptions
from bertkit.data.corpus.parts import merge_parts, prepare_part
from bertkit.data.corpus.prepare import corpus_fingerprint, prepare
from bertkit.data.readers.sources import resolve_sources
from bertkit.text.tokenizer import Tokenizer
from tiny_corpora import contents, make_text, spy

DROPPING = PrepareOptions(duplicates=DuplicateOptions(drop_duplicates="both", drop_near_duplicates=0.9))


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.setattr(write_shards, "SHARD_BYTES", 3000)
    path = tmp_path / "text.txt"
    path.write_text(make_text(40) + "\n" + make_text(20))
    return path


def copy_into(source, target):
    shutil.copytree(source, target, dirs_exist_ok=True)


@pytest.mark.parametrize("options", [PrepareOptions(), DROPPING], ids=["all", "dropping"])
def test_parts_of_several_machines_give_the_bytes_of_one(tmp_path, text, tokenizer, options):
    prepare([text], tokenizer, tmp_path / "whole", options)
    for number in (3, 1, 2):  # on a disk that they share, and on their own disks
        prepare_part([text], tokenizer, tmp_path / "shared", MachineShard(number, 3), options)
        prepare_part([text], tokenizer, tmp_path / f"own{number}", MachineShard(number, 3), options)
        copy_into(tmp_path / f"own{number}", tmp_path / "copied")
    for folder in (tmp_path / "shared", tmp_path / "copied"):
        merge_parts(folder)
        assert contents(folder) == contents(tmp_path / "whole")
        merge_parts(folder)
        assert prepare_part([text], tokenizer, folder, MachineShard(1, 3), options) is None
        assert contents(folder) == contents(tmp_path / "whole")


def test_a_part_has_every_nth_shard_and_goes_on_after_a_kill(tmp_path, text, tokenizer, monkeypatch):
    whole = prepare([text], tokenizer, tmp_path / "whole").shards
    records = prepare_part([text], tokenizer, tmp_path / "out", MachineShard(2, 3))
    assert records == whole[1::3]
    (tmp_path / "out" / "shard-00001.tokens.npy").unlink()
    encoded = []
    monkeypatch.setattr(write_shards, "write_shard", spy(write_shards.write_shard, encoded))
    assert prepare_part([text], tokenizer, tmp_path / "out", MachineShard(2, 3)) == records
    assert len(encoded) == 1


def test_more_parts_than_shards(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("the cat\n\na mat\n")
    for number in (1, 2, 3):
        prepare_part([tmp_path / "a.txt"], tokenizer, tmp_path / "out", MachineShard(number, 3))
    assert merge_parts(tmp_path / "out").documents == 2


class TestMistakes:
    @pytest.fixture
    def out(self, tmp_path, text, tokenizer):
        """Parts 1 and 2 of 3."""
        for number in (1, 2):
            prepare_part([text], tokenizer, tmp_path / "out", MachineShard(number, 3))
        return tmp_path / "out"

    def refused(self, out, words):
        before = contents(out)
        with pytest.raises(InputError, match=words):
            merge_parts(out)
        assert contents(out) == before

    def test_a_missing_part(self, tmp_path, out):
        self.refused(out, "lacks part 3/3: make it with `bertkit prepare --shard 3/3`")
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="no finished part"):
            merge_parts(tmp_path / "empty")
        with pytest.raises(InputError, match="does not exist"):
            merge_parts(tmp_path / "nowhere")

    def add(self, tmp_path, out, text, tokenizer, options=None, of=3):
        prepare_part([text], tokenizer, tmp_path / "own", MachineShard(3, of), options)
        copy_into(tmp_path / "own", out)

    def test_another_tokenizer(self, tmp_path, out, text):
        other = Tokenizer.train(make_text(10).splitlines(), vocab_size=90)
        self.add(tmp_path, out, text, other)
        self.refused(out, "part 3/3 of .* was prepared with another tokenizer than part 1/3")

    def test_other_options(self, tmp_path, out, text, tokenizer):
        self.add(tmp_path, out, text, tokenizer, PrepareOptions(corpus=CorpusOptions(lines="paragraph")))
        self.refused(out, "with other options")

    def test_other_text_of_the_same_size(self, tmp_path, out, text, tokenizer):
        text.write_text(text.read_text().replace("cat", "mat", 1))
        self.add(tmp_path, out, text, tokenizer)
        self.refused(out, "with other text")

    def test_parts_of_another_number(self, tmp_path, out, text, tokenizer):
        self.add(tmp_path, out, text, tokenizer, of=4)
        self.refused(out, "parts of 3 and of 4")

    def test_a_missing_or_damaged_shard(self, tmp_path, out, text, tokenizer):
        self.add(tmp_path, out, text, tokenizer)
        path = out / "shard-00004.sentences.npy"
        path.write_bytes(path.read_bytes()[:-1])
        self.refused(out, r"shard-00004 of part 2/3 is missing or damaged .* --shard 2/3")

    def test_other_text_in_a_shared_folder(self, out, text, tokenizer):
        text.write_text(make_text(3))
        with pytest.raises(InputError, match="--overwrite"):
            prepare_part([text], tokenizer, out, MachineShard(3, 3))

    def test_other_text_in_a_finished_folder(self, tmp_path, out, text, tokenizer):
        self.add(tmp_path, out, text, tokenizer)
        merge_parts(out)
        before = contents(out)
        text.write_text(make_text(3))
        with pytest.raises(InputError, match="holds a finished corpus, which a part of one cannot replace"):
            prepare_part([text], tokenizer, out, MachineShard(3, 3), PrepareOptions(overwrite=True))
        assert contents(out) == before

    def test_unreadable_text_leaves_the_other_parts(self, out, text, tokenizer):
        fingerprint = out / ".prepare" / "fingerprint.json"
        text.write_bytes(text.read_bytes().replace(b"the", b"th\xff"))
        shards = sorted(out.glob("shard-*"))
        write_json(fingerprint, corpus_fingerprint(resolve_sources([text]), tokenizer, PrepareOptions()))
        with pytest.raises(InputError, match="not UTF-8"):
            prepare_part([text], tokenizer, out, MachineShard(3, 3))
        assert sorted(path for path in out.glob("shard-*") if path in shards) == shards

    def test_a_part_or_a_folder_in_use(self, out, text, tokenizer):
        with exclusive(out / ".prepare" / "part-1-of-3"), pytest.raises(ResourceError, match="in use"):
            prepare_part([text], tokenizer, out, MachineShard(1, 3))
        with exclusive(out, shared=True), pytest.raises(ResourceError, match="in use"):
            merge_parts(out)

    @pytest.mark.parametrize("shard", ["3", "0/3", "4/3", "1/0", "a/b", "-1/3"])
    def test_a_part_that_cannot_be(self, shard):
        with pytest.raises(InputError, match="--shard"):
            MachineShard.parse(shard)


def test_the_manifest_of_an_older_version_is_read(tmp_path, text, tokenizer):
    prepare([text], tokenizer, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["checksum"]
    del manifest["duplicates"]
    path.write_text(json.dumps(manifest))
    assert prepare([text], tokenizer, tmp_path / "out").duplicates is None
