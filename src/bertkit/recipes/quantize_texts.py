"""The texts by which vectors before and after quantization are compared: a user's, or sentences of our own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bertkit.core.console import note
from bertkit.core.errors import InputError
from bertkit.data.readers.sources import HubDataset, resolve_sources
from bertkit.data.readers.tables import RowOptions, read_rows
from bertkit.data.readers.text import text_lines
from bertkit.pretrained.folder import ModelFolder
from bertkit.pretrained.sentence_settings import SentenceSettings
from bertkit.recipes.quantize_check import VectorCheck
from bertkit.tasks.options import TableOptions
from bertkit.text.tokenizer import Tokenizer

_MOST_TEXTS = 5000
"""The similarities of all their pairs are held in memory, and need no more to be known."""


def read_texts(data: str | Path, table: TableOptions) -> list[str]:
    """The first texts of a file with one a line, or with `table.text` of a table's column; raises `InputError`."""
    texts = list(islice(_texts(data, table), _MOST_TEXTS + 1))
    if len(texts) > _MOST_TEXTS:
        note(f"{data}: the first {_MOST_TEXTS:,} texts are compared")
    return texts[:_MOST_TEXTS]


def _texts(data: str | Path, table: TableOptions) -> Iterator[str]:
    errors = table.encoding_errors or "strict"
    for source in resolve_sources([str(data)]):
        if table.text is not None:
            for number, (value,) in read_rows(source, RowOptions(columns=(table.text,), encoding_errors=errors)):
                if not isinstance(value, str):
                    raise InputError(f"{source.origin}, row {number}: column {table.text!r} is {value!r}, not a text")
                yield value
        elif isinstance(source, HubDataset) or source.format != "text":
            raise InputError(f"{source.origin} is a table: name the column of the texts with --text")
        else:
            lines = (line.strip() for line in text_lines(source.path, errors, lambda count: None))
            yield from filter(None, lines)


def vector_check(folder: ModelFolder, tokenizer: Tokenizer, texts: Sequence[str]) -> VectorCheck:
    """The texts as the folder says that they become vectors. Raises `InputError` where bertkit cannot make them so."""
    settings = folder.sentences or SentenceSettings()
    if settings.unsupported is not None:
        raise InputError(f"{folder.path} makes vectors by {settings.unsupported}, which bertkit does not compute")
    if settings.pooling == "pooler" and not folder.has_pooler:
        raise InputError(f"{folder.path} makes vectors by a pooler that it does not have")
    positions = folder.config.max_length
    length = positions if settings.max_length is None else min(positions, settings.max_length)
    sequences = tokenizer.encode_batch(texts, max_length=length)
    return VectorCheck.of(sequences, folder.config.num_hidden_layers, settings.pooling)


SENTENCES = (
    "The train to the coast leaves at seven and arrives before noon.",
    "She repaired the old radio with a screwdriver and a lot of patience.",
    "Prices of wheat rose for the third month in a row.",
    "How do I change the password of my account?",
    "The committee will publish its report at the end of March.",
    "A small dog barked at the postman and then hid under the table.",
    "The river floods the lower fields almost every spring.",
    "Please send the signed contract to our office in Lisbon.",
    "The film was too long, but the last scene was worth the wait.",
    "My order has not arrived, although it was sent two weeks ago.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "He scored twice in the second half and was taken off injured.",
    "The museum is closed on Mondays and on public holidays.",
    "What is the difference between a virus and a bacterium?",
    "The new bridge carries two railway tracks and a path for bicycles.",
    "Bake the bread for forty minutes, until the crust is dark.",
    "The bank lowered its interest rate by a quarter of a point.",
    "I would not recommend this hotel to anybody with small children.",
    "The poet spent her last years in a village near the border.",
    "The program stops with an error when the file is empty.",
    "Snow is expected above eight hundred metres tonight.",
    "The court found that the tenant did not have to pay for the repair.",
    "Which cities has the orchestra visited since it was founded?",
    "The battery lasts for two days if the screen is dimmed.",
    "A hundred years ago the harbour was the largest in the country.",
    "The patient was given antibiotics and recovered within a week.",
    "Copper conducts electricity better than iron does.",
    "The children built a raft out of barrels and rope.",
    "Can I cancel the subscription before the end of the month?",
    "The minister denied that taxes would rise after the election.",
    "Two of the three engines failed shortly after take-off.",
    "The soup needs more salt and a little lemon.",
    "The company moved its headquarters from Paris to Dublin in 2014.",
    "He plays the cello in a quartet and teaches at a school.",
    "The telescope found a planet twice as heavy as the Earth.",
    "Wonderful service, friendly people, and the food came quickly.",
    "The lake is deep, cold and full of trout.",
    "The treaty was signed by eleven states and ratified by nine.",
    "Where can I find the receipt for my last payment?",
    "The actor who played the king had never been on a stage before.",
    "Bees find their way back to the hive by the position of the sun.",
    "The strike ended after the drivers were offered higher pay.",
    "The first edition was printed in a run of five hundred copies.",
    "I waited for an hour and nobody answered the telephone.",
    "The glacier has lost a third of its length since 1950.",
    "Save the document before you close the window.",
    "The defender was shown a red card in the final minute.",
    "An old map of the town hangs above the fireplace, next to a portrait of the mayor who had the walls pulled down.",
)
"""Forty-eight sentences on everyday subjects."""
