"""The split: nothing straddles, and what is held back stays held back."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from training.datasets.model import PARTS
from training.datasets.parts import Member, assign
from training.split import TEST_SHARE, VALIDATION_SHARE

labels = st.sampled_from(["lion", "tench", "no_animal"])
kinds = st.sampled_from(["location", "sequence", "burst", "picture"])
seeds = st.integers(0, 5)


@st.composite
def members(draw, label=labels, kind=kinds, prefix=""):
    """Photos in groups; a group may have several labels."""
    sizes = draw(st.lists(st.tuples(kind, st.integers(1, 6)), max_size=15))
    found = []
    for number, (name, size) in enumerate(sizes):
        group = f"{name}:{prefix}{number}"
        found += [Member(f"{prefix}{number}-{at}", draw(label), group) for at in range(size)]
    return found


@settings(deadline=None)
@given(members(), seeds)
def test_no_group_is_in_two_parts(photos, seed):
    parts = assign(photos, seed)
    assert len(parts) == len(photos)
    of_group = defaultdict(set)
    for photo, part in zip(photos, parts, strict=True):
        assert part in PARTS
        of_group[photo.group].add(part)
    assert all(len(found) == 1 for found in of_group.values())


@settings(deadline=None)
@given(members(), seeds, st.randoms(use_true_random=False))
def test_the_order_of_photos_does_not_matter(photos, seed, random):
    mixed = random.sample(photos, len(photos))
    assert dict(zip(photos, assign(photos, seed), strict=True)) == dict(zip(mixed, assign(mixed, seed), strict=True))


@settings(deadline=None)
@given(
    members(st.just("lion"), st.sampled_from(["sequence", "burst", "picture"])),
    members(st.sampled_from(["tench", "no_animal"]), prefix="other"),
    seeds,
)
def test_a_class_does_not_move_because_another_grew(lions, others, seed):
    assert assign([*lions, *others], seed)[: len(lions)] == assign(lions, seed)


@settings(deadline=None)
@given(members(), members(prefix="new"), seeds, seeds)
def test_photos_of_an_earlier_version_never_move(old, new, seed, other_seed):
    """Not even when their own class or another location joins, nor by another seed."""
    earlier = dict(zip((photo.sha256 for photo in old), assign(old, seed), strict=True))
    assert assign([*new, *old], other_seed, earlier)[len(new) :] == list(earlier.values())


@settings(deadline=None)
@given(members(), seeds)
def test_a_photo_beside_old_ones_joins_their_part(old, seed):
    earlier = dict(zip((photo.sha256 for photo in old), assign(old, seed), strict=True))
    late = [Member(f"late-{at}", photo.label, photo.group) for at, photo in enumerate(old)]
    assert assign([*late, *old], seed, earlier)[: len(late)] == list(earlier.values())


def test_what_was_held_back_wins_where_two_old_groups_become_one():
    photos = [Member("a", "lion", "picture:a"), Member("b", "lion", "picture:a")]
    assert assign(photos, 7, {"a": "train", "b": "test"}) == ["test", "test"]


@settings(deadline=None)
@given(st.integers(30, 300), seeds)
def test_shares_of_a_class_are_kept(count, seed):
    photos = [Member(str(n), "lion", f"picture:{n}") for n in range(count)]
    counts = Counter(assign(photos, seed))
    assert abs(counts["test"] - TEST_SHARE * count) <= 0.5
    assert abs(counts["validation"] - VALIDATION_SHARE * (1 - TEST_SHARE) * count) <= 0.5


@settings(deadline=None)
@given(st.integers(3, 40), seeds)
def test_three_locations_are_enough_for_three_parts(count, seed):
    photos = [Member(f"{place}-{at}", "lion", f"location:{place}") for place in range(count) for at in range(3)]
    assert set(assign(photos, seed)) == set(PARTS)


def test_a_location_stays_where_its_hash_says():
    def parts(count):
        photos = [Member(str(place), "lion", f"location:{place}") for place in range(count)]
        return assign(photos, 7)

    assert set(parts(40)) == set(PARTS)
    assert parts(200)[:40] == parts(40)


def test_another_seed_is_another_split():
    photos = [Member(str(n), "lion", f"picture:{n}") for n in range(50)]
    assert assign(photos, 1) == assign(photos, 1) != assign(photos, 2)
