"""The bytes are TensorFlow's: checksums, tables, and a checkpoint that TensorFlow 2.21 wrote."""

import base64
import contextlib
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertkit.core.errors import InputError
from bertkit.pretrained.tensorflow.bundle import Bundle, write_bundle
from bertkit.pretrained.tensorflow.sorted_table import (
    WireError,
    crc32c,
    masked_crc32c,
    read_fields,
    read_table,
    read_varint,
    write_table,
    write_varint,
)

# v1.train.Saver().save of 18 kernels [[i + 0.5, -1.0]], a scalar, a float16, a bfloat16, a string and the step counter.
THEIR_INDEX = (
    "c-muNVB=tvV&Y(A5Ef2KEh^E^NvupQiZ{^DPA$qy&Ea4a;t&GL0x^>Yhw0Jvib32QqJ~&x6*z$MXHKU}@o<P@)2$!?l%IBX{vIA2"
    "`Xzw!b-qtzfbvGz<Q0JOW)DJ?f%3-K<TZfuatZp)KzS2v@&-WpzL&lMKzUPa@)kh(woI!6pu8D2c?Y0;W&Gb2KzVa)@*Y6>*7?V8"
    "aN}@)08l=|_V09V9PW<*$`@GbKjp^Z{sf@B=NaQFZXE8<0Lm9$)tk$W!~F$7`M?)1nHYpcks=zaS1N!?GaoX1;N}psz$V|o2vneV"
    "rRye8fh9Ht9Uuj2A%A}|vIrF=X6AA539*1BCNOHSm`-wCdYgfpFFhweDKRI$xFofJgHwn>VG2l-Ci4t-1{R@=#GEt^VW_4#AWb}H"
    "KVD*B<10>1%t<T)TEn2Q03^(Qqm-9{Rj53_D5aQ#9jt*-VF{xKn<=LZt3Cq|d}3r^U;;55Cr*D1q8UNNflmuJFfcM#FuY=gi>Wx?"
    "z4M-x;}0u813?h}yP;d9)crO9UJ#^{"
)
THEIR_DATA = "c-muNV6bOkXxPudZ~#hcI6`O(DD45IBcOB!l&*l%El|1#N-H=(=maP|0ZMOx(ifog2Pn+})h7X_fvy0GLxCNLt>C~YE83Kr2mtm`CEo"


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


@pytest.fixture
def their_checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "t.ckpt.index").write_bytes(_unpacked(THEIR_INDEX))
    (tmp_path / "t.ckpt.data-00000-of-00001").write_bytes(_unpacked(THEIR_DATA))
    return tmp_path / "t.ckpt.index"


def test_a_checkpoint_of_tensorflows_is_read(their_checkpoint: Path):
    bundle = Bundle(their_checkpoint)
    kernels = {f"bert/layer_{number}/kernel" for number in range(18)}
    assert set(bundle) == kernels | {"scalar", "half", "brain", "global_step"}  # a string is no weight
    for number in range(18):
        assert bundle[f"bert/layer_{number}/kernel"].tolist() == [[number + 0.5, -1.0]]
    assert bundle["scalar"].shape == ()
    assert bundle["scalar"].item() == 2.5
    assert (bundle["half"].dtype, bundle["half"].tolist()) == (torch.float16, [1.5, 2.0])
    assert (bundle["brain"].dtype, bundle["brain"].tolist()) == (torch.bfloat16, [1.5, 2.0])
    assert bundle["global_step"].dtype == torch.int64


def test_our_entries_are_tensorflows_byte_for_byte(their_checkpoint: Path, tmp_path: Path):
    theirs = read_table(their_checkpoint.read_bytes())
    bundle = Bundle(their_checkpoint)
    floats = {name: tensor for name, tensor in bundle.items() if tensor.dtype == torch.float32}
    write_bundle(tmp_path / "ours.ckpt", floats)
    ours = read_table((tmp_path / "ours.ckpt.index").read_bytes())
    assert ours[b""] == theirs[b""]
    first = b"bert/layer_0/kernel"
    shape, checksum = (dict(read_fields(theirs[first]))[field] for field in (2, 6))
    assert dict(read_fields(ours[first])) == {1: 1, 2: shape, 5: 8, 6: checksum}


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_checksums_of_rfc_3720(data: bytes, checksum: int):
    assert crc32c(data) == checksum


def _slow_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(st.integers(0, 9000), st.binary(min_size=1, max_size=40))
def test_checksums_of_any_length_are_those_of_the_definition(length: int, piece: bytes):
    data = (piece * (length // len(piece) + 1))[:length]
    assert crc32c(data) == _slow_crc32c(data)
    crc = crc32c(data)
    assert masked_crc32c(data) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


@given(st.integers(0, 2**64 - 1))
def test_numbers_come_back(value: int):
    assert read_varint(write_varint(value), 0) == (value, len(write_varint(value)))


@given(st.dictionaries(st.binary(max_size=20), st.binary(max_size=300), min_size=1, max_size=40))
def test_tables_come_back(entries: dict[bytes, bytes]):
    assert read_table(write_table(entries)) == entries


@given(st.data())
def test_a_damaged_index_is_an_error_and_never_another_table(data: st.DataObject):
    index = bytearray(_unpacked(THEIR_INDEX))
    before = read_table(bytes(index))
    for at in data.draw(st.lists(st.integers(0, len(index) - 1), min_size=1, max_size=4, unique=True)):
        index[at] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del index[data.draw(st.integers(0, len(index) - 1)) :]
    with contextlib.suppress(WireError):
        assert read_table(bytes(index)) == before


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3, 4)])
def test_tensors_of_every_shape_come_back(tmp_path: Path, shape: tuple[int, ...]):
    tensor = torch.randn(shape)
    write_bundle(tmp_path / "a", {"x": tensor, "y": torch.ones(3, 2).t()})
    bundle = Bundle(tmp_path / "a.index")
    assert torch.equal(bundle["x"], tensor)
    assert torch.equal(bundle["y"], torch.ones(2, 3))


def test_an_empty_index_is_named(their_checkpoint: Path):
    their_checkpoint.write_bytes(b"")
    with pytest.raises(InputError, match=r"t\.ckpt\.index is not a whole"):
        Bundle(their_checkpoint)
