"""Labels of people to leaves of the taxonomy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stack import ROOT
from training.datasets.labels import Labels, UnknownLabel, base_taxonomy, read_species
from training.errors import DataError

HEADER = "leaf,class,order,family,genus,species,common_name\n"
EXAMPLE = ROOT / "docs" / "examples" / "new_species.csv"


@pytest.fixture(scope="module")
def labels() -> Labels:
    return Labels(base_taxonomy(), read_species(EXAMPLE))


@pytest.mark.parametrize(
    ("label", "leaf"),
    [
        ("lion", "lion"),
        ("LION", "lion"),
        ("Panthera leo", "lion"),
        ("panthera_leo", "lion"),
        ("patas monkey", "patas"),
        ("Polar-Bear", "polar_bear"),
        ("empty", "no_animal"),
        ("Blank", "no_animal"),
        ("no_animal", "no_animal"),
        ("mantled_howler", "mantled_howler"),
        ("White headed capuchin", "white_headed_capuchin"),
        ("Cacajao calvus", "bald_uakari"),
        ("patas_monkey", "patas"),
    ],
)
def test_labels_are_keys_common_or_scientific_names(labels: Labels, label: str, leaf: str) -> None:
    assert labels.resolve(label) == leaf


@pytest.mark.parametrize(
    ("label", "meant"), [("lyon", "lion"), ("patas_monky", "patas monkey"), ("bald_ukari", "bald uakari")]
)
def test_a_typo_is_told_what_it_may_mean(labels: Labels, label: str, meant: str) -> None:
    unknown = labels.resolve(label)
    assert isinstance(unknown, UnknownLabel)
    assert any(meant == name.replace("_", " ") for name in unknown.nearest), str(unknown)
    assert "Did you mean" in str(unknown)


@pytest.mark.parametrize(
    ("label", "narrower"),
    [("panda", "giant panda"), ("Crab", "king crab"), ("lobster", "spiny lobster or american lobster?")],
)
def test_a_broad_label_is_told_narrower_ones(labels: Labels, label: str, narrower: str) -> None:
    assert narrower.replace(" ", "_") in str(labels.resolve(label)).replace(" ", "_")


def test_a_label_like_nothing_says_so(labels: Labels) -> None:
    assert "nor is any name like it" in str(labels.resolve("xyzzy"))


def test_a_name_of_many_breeds_is_not_guessed(labels: Labels) -> None:
    assert "means 118 leaves" in str(labels.resolve("domestic dog"))


def test_of_the_ten_monkeys_eight_are_new(labels: Labels) -> None:
    assert len(labels.new) == 8
    assert labels.already == {"patas_monkey": "patas", "squirrel_monkey": "squirrel_monkey"}


def species(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    file = tmp_path / "species.csv"
    file.write_text(header + "\n".join(rows), "utf-8")
    return file


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["Red Panda!,Mammalia,,,,,x"], "line 2: the leaf 'Red Panda!'"),
        ([",Mammalia,,,,,x"], "the leaf ''"),
        (["blank,Mammalia,,,,,x"], "without an animal"),
        (["x,,,,,,x"], "needs a class"),
        (["x,Mammalia,,,,,"], "needs a class .* common name"),
        (["x,Mammalia,,Felidae,,,x"], "leaves a rank empty"),
        (["x,Mammalia,Carnivora,Felidae,Felis,Panthera x,x"], "not of the genus Felis"),
        (["x,Mammalia,Carnivora,Felidae,Felis,Felis x,x", "x,Mammalia,,,,,y"], "'x' stands there twice"),
        (["x,Mammalia"], "needs a class .* common name"),
    ],
)
def test_a_garbled_row_is_named(tmp_path: Path, rows: list[str], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_species(species(tmp_path, *rows))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("saki,Mammalia,Primatess,Pitheciidae,Pithecia,Pithecia pithecia,saki", "known in Primates"),
        ("saki,Mammalia,Primatess,Newidae,Pithecia,Pithecia pithecia,saki", "Did you mean Primates"),
        ("cat_bear,Mammalia,Carnivora,Ursidae,Panthera,Panthera x,cat bear", "known in Felidae"),
        ("lion,Mammalia,Carnivora,Felidae,Puma,Puma concolor,mountain lion", "Choose another key"),
        ("puma2,Mammalia,Carnivora,Felidae,Puma,Puma nova,Lion", "has the name of the leaf lion"),
        ("puma2,Mammalia,Carnivora,Felidae,Puma,Puma nova,no animal", "which is no animal"),
    ],
)
def test_a_row_that_contradicts_the_taxonomy_is_refused(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        Labels(base_taxonomy(), read_species(species(tmp_path, row)))


def test_a_new_breed_is_a_new_leaf(tmp_path: Path) -> None:
    row = "mudi,Mammalia,Carnivora,Canidae,Canis,Canis familiaris,domestic dog,Mudi"
    rows = read_species(species(tmp_path, row, header=HEADER.replace("\n", ",variety\n")))
    assert rows[0].variety == "Mudi"
    assert Labels(base_taxonomy(), rows).resolve("mudi") == "mudi"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00garbage", b"a,b\n1,2", b'"' * 100])
def test_no_species_file_at_all(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "species.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"species\.csv"):
        read_species(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_species(tmp_path / "nowhere.csv")


def test_another_taxonomy_can_be_the_base(tmp_path: Path) -> None:
    file = tmp_path / "taxonomy.csv"
    file.write_text(
        "leaf,class,order,family,genus,species,common_name,variety,imagenet_row\nno_animal,,,,,,no animal,,\n"
    )
    assert [leaf.key for leaf in base_taxonomy(file)] == ["no_animal"]
    file.write_text("nonsense")
    with pytest.raises(DataError, match="no taxonomy"):
        base_taxonomy(file)
