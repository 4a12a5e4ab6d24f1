"""``MODEL_CARD.md`` of a release that knows more species than the one it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contract.release import Source, Training
from export.card_text import lines, percent, table
from export.extension import Base, Extension
from export.forms import FLOAT32, Forms
from export.taxa import MIN_PHOTOS, MIN_TAXON_AGREEMENT, TaxonAgreement

KEPT: Final = ("The detector", "What the licences mean")
"""Sections of the base release's card that hold for this release as they stand."""

MOST_ROWS: Final = 40
"""Taxa in the table of agreement; the manifest's figures cover all of them."""

_NEW: Final = (
    ("new.top1", "photos of the data set, top-1 species"),
    ("new.top1.before", "the same, base release"),
    ("new.top1.unnameable", "of these, species that the base release had no leaf for"),
    ("new.top1.missed", "of these, photos that the base release did not name rightly"),
)

_OLD: Final = (("old", "species/"), ("objects", "no_animal/"), ("boxes", "lions, whole photos and crops"))


def extended_card(name: str, base: Base, extension: Extension, forms: Forms, training: Training, base_card: str) -> str:
    """The card as Markdown. ``base_card``: that of the base release, whose sections ``KEPT`` are taken over."""
    sections = (
        _what(name, base, extension),
        _origin(base, extension, training),
        *(section for title in KEPT if (section := section_of(base_card, title))),
        _new_species(extension),
        _old_species(extension),
        _sure(extension),
        _forms(forms),
        _limits(base),
        f"## Make it again\n\n```\n{lines(training.command.split(' && '))}\n```",
    )
    return "\n\n".join(sections) + "\n"


def section_of(card: str, title: str) -> str:
    """A section of a card with its heading, without blank lines around it; '' if there is none."""
    parts = card.split("\n## ")
    return next((f"## {part.strip()}" for part in parts[1:] if part.splitlines()[0] == title), "")


def _what(name: str, base: Base, extension: Extension) -> str:
    known = {leaf.key for leaf in base.taxonomy}
    rows = [
        [f"`{leaf.key}`", leaf.common_name, leaf.scientific_name]
        for leaf in extension.taxonomy
        if leaf.key not in known
    ]
    new = f"{table(['leaf', 'name', 'taxon'], rows)}" if rows else "It has the same leaves, taught anew."
    return f"""# Bestiary, release {name}

Release {base.release.identity} with {len(rows)} more species: {len(extension.taxonomy)} leaves instead of \
{len(base.taxonomy)}. Its detector, its preprocessing and the detector's thresholds are those of that release; its \
classifier was tuned further. The old leaves keep their numbers, the new ones follow, and `no_animal` stays the last.

{new}"""


def _origin(base: Base, extension: Extension, training: Training) -> str:
    rows = [_source(source) for source in (training.base_weights, *training.data)]
    return f"""## Where it comes from

The classifier started from that of release {base.release.identity} and learned from the data set \
{extension.dataset or "(unnamed)"} with the recipe `{extension.evaluation.chosen}`, held to the base release's answers \
on every photo, so that the old species stay known.

{lines(rows)}"""


def _source(source: Source) -> str:
    photos = f"{source.photos} photos of " if source.photos else ""
    return f"- {photos}{source.name}. Licence: {source.licence}. {source.attribution}".rstrip(". ") + "."


def _new_species(extension: Extension) -> str:
    figures = extension.evaluation.test[extension.evaluation.chosen]
    counts = extension.evaluation.photos
    shares = [[about, percent(figures[key])] for key, about in _NEW if key in figures]
    names = [key.removeprefix("new.recall.") for key in figures if key.startswith("new.recall.")]
    rows = [
        [f"`{one}`", percent(figures.get(f"new.precision.{one}")), percent(figures[f"new.recall.{one}"])]
        for one in names
    ]
    by_species = f"\n\n{table(['species', 'precision', 'recall'], rows)}" if rows else ""
    return f"""## The new species

Learned from {counts.get("train", 0)} photos and crops, chosen on {counts.get("validation", 0)}, measured on \
{counts.get("test", 0)} held back, through the code that serves.

{table(["held-back photos", "share"], shares)}{by_species}"""


def _old_species(extension: Extension) -> str:
    figures = extension.evaluation.test[extension.evaluation.chosen]
    rows = [
        [
            about,
            f"{figures[f'photos.{part}']:.0f}",
            percent(figures[f"{part}.top1.before"]),
            percent(figures[f"{part}.top1"]),
            f"{100 * figures[f'forgetting.{part}']:.1f} points",
        ]
        for part, about in _OLD
        if f"forgetting.{part}" in figures
    ]
    if not rows:
        return """## The old species

Not measured: no old photos were given to the training (`--old`)."""
    return f"""## The old species

{table(["held-back photos", "photos", "top-1 before", "top-1 after", "lost"], rows)}"""


def _sure(extension: Extension) -> str:
    chosen = extension.evaluation.calibration
    return f"""## How sure it is

The logits are divided by {chosen.temperature:.3f} before the softmax, inside the graph. `sure_from` \
{chosen.sure_from:.2f}, `empty_from` {chosen.empty_from:.2f}, `alternatives_from` {chosen.alternatives_from:.4f} for a \
coverage of {percent(chosen.coverage)}: calibrated anew where old photos were given to the training, else those of the \
base release, of which nobody knows how well they suit the new species."""


def _forms(forms: Forms) -> str:
    rows = [
        [form, percent(forms.figures[f"parity.{form}.agreement"]), f"{100 * forms.figures[f'parity.{form}.lost']:.1f}"]
        for form in forms.names
    ]
    return f"""## Forms of the classifier

Each was asked about {forms.figures["parity.photos"]:.0f} real photos that its 8-bit grids were not fitted to. \
"Same" also counts photos of which neither is sure enough to answer a species.

{table(["form", "same species as the network", "right answers lost, points"], rows)}

By what the network itself surely answers, those with the least agreement first; a taxon with {MIN_PHOTOS} photos or \
more needs {percent(MIN_TAXON_AGREEMENT)}:

{_taxa(forms)}"""


def _taxa(forms: Forms) -> str:
    def weakest(row: TaxonAgreement) -> tuple[bool, float, int]:
        return row.photos < MIN_PHOTOS, min(row.agreed.values()) / row.photos, -row.photos

    shown: Sequence[TaxonAgreement] = sorted(forms.taxa, key=weakest)[:MOST_ROWS]
    columns = [form for form in forms.names if form != FLOAT32 or any(row.share(form) < 1 for row in forms.taxa)]
    rows = [[row.taxon, row.rank, str(row.photos), *(percent(row.share(form)) for form in columns)] for row in shown]
    rest = f"\n\n{len(forms.taxa) - len(shown)} more taxa are left out." if len(forms.taxa) > len(shown) else ""
    equal = "" if FLOAT32 in columns else "\n\nThe float32 form gives the network's own answer on every photo."
    return f"{table(['taxon', 'rank', 'photos', *columns], rows)}{rest}{equal}"


def _limits(base: Base) -> str:
    return f"""## Limits

- What the card of release {base.release.identity} says of its limits holds here too.
- The forms were compared on whole photos, not on crops of animals.
- A shadow comparison with the base release counts every new species as a disagreement where the base names a \
relative surely: `bounds.max_disagreement` of the manifest has to leave room for that.
- Never run where this was exported unless the table above has a column for it: TensorRT."""
