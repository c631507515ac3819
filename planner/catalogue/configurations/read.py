"""A model from its own configuration file."""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from planner.catalogue.configurations.families import Blocks, is_known, left_out, read_blocks
from planner.catalogue.configurations.formats import Formats, read_formats
from planner.catalogue.configurations.mixers import HIDDEN
from planner.catalogue.configurations.serving import UNKNOWN, usual_serving
from planner.catalogue.configurations.tree import CURE, Configuration, json_tree
from planner.catalogue.read import describe
from planner.core.fleet.shapes import active_parameters, total_parameters
from planner.errors import UsageError
from planner.input_files import is_file
from planner.settings.models import LatentAttention, Model
from planner.settings.plain import shown
from planner.text import quoted

QUANTIZATION_FILE = "hf_quant_config.json"
_TEXT_TABLES = ("text_config", "language_config", "llm_config", "thinker_config")
"""Where a model for more than text has the configuration of its text model."""
_TIED = frozenset({"bloom", "falcon", "gemma3", "gemma4", "gpt2", "gpt_bigcode", "mpt", "opt", "starcoder2"})
"""Architectures whose head shares the embedding's weights where nothing is said (transformers: their classes)."""
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "model_max_length")
_NO_DECODER = re.compile(r"MaskedLM|Classification|QuestionAnswering|Encoder|Embedding|Diffusion")
_SNAPSHOT = re.compile(r"[0-9a-f]{32,64}")


@dataclass(frozen=True, kw_only=True)
class Naming:
    """What a configuration file does not tell of a model: None for what is to be made up from it."""

    name: str | None = None
    description: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class ReadModel:
    """A model, and what is to be said about how it was read."""

    model: Model
    notes: tuple[str, ...]


def read_configuration(path: Path, naming: Naming = Naming()) -> ReadModel:
    """A model from its config.json, and hf_quant_config.json beside it. Raises UsageError with every problem."""
    c = _configuration(path)
    _check_kind(c)
    blocks = read_blocks(c)
    hidden, vocabulary = c.count(*HIDDEN), c.count("vocab_size")
    context = c.count(*_CONTEXT) if c.has(*_CONTEXT) else None
    beside = path.parent / QUANTIZATION_FILE
    formats = read_formats(c, json_tree(beside) if is_file(beside) else None, blocks)
    tied = _tied(c)
    c.check()
    if context is None:
        c.notes.append("the longest context is not told: no limit is known")
    name = _named(naming.name) if naming.name is not None else _own_name(c)
    source = naming.source if naming.source is not None else f"config.json of {_origin(c) or name}"
    told = Naming(name=name, description=naming.description, source=source)
    try:
        model = _model(c, blocks, formats, told, hidden=hidden, vocabulary=vocabulary, context=context, tied=tied)
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(describe(error))}; {CURE}") from error
    update: dict[str, object] = {"serving": usual_serving(model)}
    if told.description is None:
        update["description"] = _described(model)
    model = model.model_copy(update=update)
    return ReadModel(model, tuple(dict.fromkeys(c.notes)))


def _configuration(path: Path) -> Configuration:
    outer = json_tree(path)
    keys = outer
    # some have the text model inside another part
    for _ in range(2):
        keys = next((found for name in _TEXT_TABLES if isinstance(found := keys.get(name), dict)), keys)
    if keys.get("model_type") is None and outer.get("model_type") is None:
        missing = " and architectures" if outer.get("architectures") is None else ""
        if missing:
            raise UsageError(f"{path}: has no model_type{missing}, as a model's configuration has; {CURE}")
    return Configuration(path, keys, outer)


def _check_kind(c: Configuration) -> None:
    """Raises UsageError for what is no model that generates text token by token."""
    if c.keys.get("is_encoder_decoder") is True or c.outer.get("is_encoder_decoder") is True:
        raise c.refuse(
            "is a model with an encoder and a decoder, which is not modelled", "give one with a decoder alone"
        )
    named = c.outer.get("architectures")
    texts = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    strange = [each for each in texts if _NO_DECODER.search(each)]
    if strange:
        raise c.refuse(
            f"{shown(strange[0])} does not generate text token by token", "give the configuration of one that does"
        )


def _tied(c: Configuration) -> bool:
    kind = c.model_type.removesuffix("_text")
    told = c.outer.get("tie_word_embeddings")
    default = told if isinstance(told, bool) else kind in _TIED
    if told is None and not c.has("tie_word_embeddings") and not is_known(c):
        c.notes.append("whether the head shares the embedding's weights is not told: it is taken not to")
    return c.flag("tie_word_embeddings", default=default)


def _model(
    c: Configuration,
    blocks: Blocks,
    formats: Formats,
    naming: Naming,
    *,
    hidden: int,
    vocabulary: int,
    context: int | None,
    tied: bool,
) -> Model:
    mixers, feed_forwards = blocks.mixers, blocks.feed_forwards
    return Model(
        name=naming.name,
        description=naming.description or "",
        source=naming.source,
        hidden=hidden,
        layers=blocks.layers,
        attention_layers=None if blocks.mixing == blocks.layers else mixers.full_layers,
        dense_layers=feed_forwards.dense_layers,
        sparse_layers=None if blocks.feeding == blocks.layers else feed_forwards.sparse_layers,
        dense_width=feed_forwards.dense_width,
        gated=feed_forwards.gated,
        vocabulary=vocabulary,
        context_tokens=context,
        tied_embeddings=tied,
        weight_dtype=formats.weights,
        attention_dtype=formats.attention,
        dense_dtype=formats.dense,
        left_out=left_out(c),
        attention=mixers.attention,
        window=mixers.window,
        recurrent=mixers.recurrent,
        selection=mixers.selection,
        experts=feed_forwards.experts,
        serving=UNKNOWN,
    )


def _named(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(f"--name {quoted(name)}: write letters, digits, dots, underscores and hyphens")
    return name


def _own_name(c: Configuration) -> str:
    """A name from what the file says, or from its folder."""
    for told in (_origin(c).rpartition("/")[2], c.path.resolve().parent.name):
        name = re.sub(r"[^a-z0-9._-]+", "-", told.lower()).strip("-._")
        if name and not _SNAPSHOT.fullmatch(name):
            return name
    raise UsageError(f"{c.path}: tells no name; give one with --name")


def _origin(c: Configuration) -> str:
    """Where a model comes from, ORG/NAME; empty where the file does not say."""
    told = c.outer.get("_name_or_path") or c.keys.get("_name_or_path")
    return told if isinstance(told, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", told) else ""


def _described(model: Model) -> str:
    """A line on a model: its size and kind."""
    total, active = total_parameters(model) / 1e9, active_parameters(model) / 1e9
    kind = "mixture of experts" if model.experts else "dense"
    attention = "latent" if isinstance(model.attention, LatentAttention) else "grouped-query"
    if attention != "latent" and model.attention.heads == getattr(model.attention, "kv_heads", 0):
        attention = "multi-head"
    more = [
        f"{model.window.layers} of {model.layers} layers with a window" if model.window else "",
        f"{model.recurrent.layers} of {model.layers} layers recurrent" if model.recurrent else "",
        "sparse attention" if model.selection else "",
    ]
    size = f"{total:.3g} B parameters" + (f", {active:.3g} B active" if model.experts else "")
    return f"{size}, {kind} with {attention} attention" + "".join(f", {each}" for each in more if each)
