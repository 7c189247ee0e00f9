# SPDX-License-Identifier: Apache-2.0
"""MODEL_CARD.md of a bundle (after Mitchell et al., Model Cards for Model Reporting, 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Final

from pocketrec.device.base import documents
from pocketrec.device.contract.layers import BODY, LayerSpec, specs_of, walk
from pocketrec.device.contract.names import RANKNET

_UNSEEN: Final = "Nothing at or after the cut-off"
#: Counts that say nothing of sessions, which are all new after the cut-off, and of which no device learns.
_OF_USERS: Final = ("personal", "sessions", "users_old", "users_new", "events_learn", "events_test")


def model_card(
    *,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    recipe: Mapping[str, Any],
    metrics: Mapping[str, Any] | None,
    size: int,
    measured: Mapping[str, Any] | None = None,
    federated: Mapping[str, Any] | None = None,
) -> str:
    """The card as Markdown.

    Args:
        facts: ``model``, ``tensors`` and ``gate`` of the export.
        config: the resolved configuration.
        summary: counts of the split.
        recipe: recipe.json as a table.
        metrics: metrics.json, or None before the evaluation.
        size: bytes of model.tflite.
        measured: of a model that was trained again after its evaluation, `Manifest.measured`.
        federated: facts of the federated training that the model comes of; None = it comes of none.
    """
    model = facts["model"]
    layers = specs_of(model, facts["tensors"])
    body = [layer for layer in layers if layer.role == BODY]
    sessions = bool(summary.get("sessions"))
    learned = "weights and candidate sets"
    if config.get("ranker", {}).get("transitions") and facts.get("ranker") == RANKNET:
        learned = "weights, candidate sets and the ranker's counts of which items followed which"
    source = PurePath(config["data"]["path"] or config["data"]["set"]).name  # its folders are not for devices
    parts = [
        f"# Next-item model, {len(body)}-layer {model['backbone'].upper()}",
        f"Trained on the log `{source}` (column `{config['data']['item']}` as item), "
        + (_refitted(measured) if measured else
           f"split by `{config['split']['kind']}`. {'No session of the test' if sessions else _UNSEEN} was seen in "
           "training, in the vocabulary, in the candidate sets, or in the rehearsal."),
        _table("Data", {key.replace("user", "session") if sessions else key: value for key, value in summary.items()
                        if isinstance(value, int | float | str) and key not in (_OF_USERS if sessions else ())}),
        _table("Model", {**model, "bytes": size}),
        _layers(layers),
        _federated(federated),
        "## Personal training\n\n" + _recipe(recipe, facts["tensors"]),
        _quality(metrics, sessions=sessions),
        _table("Checked by the export gate", {
            f"{runtime} {found['version']}": ", ".join(
                f"{name} {value:.1e}" for name, value in found.items() if name != "version"
            )
            for runtime, found in facts["gate"]["runtimes"].items()
        }),
        "Largest differences from Keras: `score` of embeddings and scores with the same weights, `table` of "
        "scores with full precision as a share of the user's range of scores, `loss` and `train_loss` relative.",
        "## Intended use\n\nRanking a candidate set, or the whole catalogue, for one person on that person's own "
        "device, with personal training on events that stay there.",
        "## Limits\n\n- Items that came after the cut-off are unknown to the model and are ignored.\n"
        "- What the log favours, the model favours: popular items are ranked high for people of whom little is "
        "known.\n- The quality above is that of the log's own users and time; it says nothing of other people or "
        f"seasons.\n- The file holds no user's events, but {learned} were learned from them.",
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _refitted(measured: Mapping[str, Any]) -> str:
    return (
        f"all of it ({measured['events']:,} events), by the recipe that was evaluated. The figures below are of model "
        f"`{measured['model_id'][:12]}`, which had seen the first {measured['events_evaluated']:,} events and was "
        "judged on later ones; nothing can judge this one yet."
    )


def _federated(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return ""
    words = ("Trained further by devices after the cut-off: each sent clipped, rounded gradients of its later events, "
             "and no event. A gradient tells something about the events it was made of; docs/federated.md says what.")
    return _table("Federated training", facts).replace("\n\n", f"\n\n{words}\n\n", 1)


def _layers(layers: Iterable[LayerSpec]) -> str:
    """A row for each layer that has tensors; of one that shares another's, whose they are."""
    rows: list[str] = []
    owners: dict[str, str] = {}  # of each tensor, the first layer that has it
    for layer in walk(layers):
        if layer.tensors:
            owner = owners.setdefault(layer.tensors[0].name, layer.name)
            own = f"{sum(t.size for t in layer.tensors):,}" if owner == layer.name else f"those of {owner}"
            rows.append(f"| {layer.name} | {layer.kind} | {layer.inputs} | {layer.outputs} | {own} |")
    head = ["## Layers", "", "| layer | kind | inputs | outputs | numbers |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *rows]) if rows else ""


def _table(title: str, values: Mapping[str, Any]) -> str:
    rows = [f"| {key} | {_plain(value)} |" for key, value in values.items()]
    return "\n".join([f"## {title}", "", "| what | value |", "| --- | --- |", *rows])


def _recipe(recipe: Mapping[str, Any], tensors: Mapping[str, Any]) -> str:
    if not recipe.get("personalise", True):
        return "The rehearsal found nothing that gains clearly and harms few: every device stays with the global model."
    trained = ", ".join(f"`{spec['name']}`" for spec in tensors["trainable"])
    told = {key: value for key, value in recipe.items() if key not in ("forecast", "guard", "format")}
    forecast = recipe.get("forecast") or {}
    expected = {key: value for key, value in forecast.items() if not isinstance(value, list | dict)}
    lines = [f"The device trains {trained}.", "", f"Recipe: `{documents.line(told)}`."]
    if expected:
        lines += ["", f"The rehearsal expects (change of MRR@20 a user): `{documents.line(expected)}`."]
    return "\n".join(lines)


def _quality(metrics: Mapping[str, Any] | None, *, sessions: bool = False) -> str:
    if metrics is None:
        return "## Quality\n\nNot evaluated yet: `pocketrec fleet` adds the figures."
    systems = [name for name, entry in metrics.items() if isinstance(entry, dict) and "mrr@20" in entry]
    who, tested = "users", "the test part of every user's later events"
    if sessions:
        who, tested = "sessions", "every event of the later sessions but the first"
    lines = ["## Quality", "", f"Full ranking over all items, {tested}.", ""]
    if verdict := metrics.get("verdict"):
        lines += [f"Verdict: {verdict['sentence']}.", ""]
    groups = metrics.get("groups") or {"all": metrics}
    lines += [f"| {who} | number | measure | " + " | ".join(systems) + " |", "| --- " * (len(systems) + 3) + "|"]
    for group, figures in groups.items():
        number = figures.get("users", "")
        number = number["evaluated"] if isinstance(number, dict) else number
        for measure in ("recall@20", "mrr@20"):
            cells = [_plain(figures.get(name, {}).get(measure)) for name in systems]
            lines.append(f"| {group} | {number} | {measure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
