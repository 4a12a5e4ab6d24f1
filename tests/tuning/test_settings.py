from __future__ import annotations

import json

import pytest

from tuning.settings import (
    DEFAULTS_FILE,
    TUNED_NAME,
    Settings,
    SettingsError,
    Tuned,
    defaults,
    read_settings,
    settings_for,
    write_settings,
)  # fmt: skip


@pytest.mark.parametrize(("cores", "of"), [(1, 2), (2, 2), (3, 2), (4, 4), (7, 4), (8, 8)])
def test_a_machine_gets_the_defaults_of_as_many_cores_as_it_has_at_least(cores, of):
    assert defaults(cores).cores == of


def test_defaults_of_larger_machines_follow_the_rule_of_the_shipped_ones():
    for cores in (4, 8, 32):
        settings = defaults(cores).settings
        assert settings.instances == cores + 1
        assert settings.min_inflight == settings.instances + 1
    assert defaults(32).settings.workers == 8


def test_only_the_defaults_of_two_cores_are_called_measured():
    rows = json.loads(DEFAULTS_FILE.read_text())
    assert set(rows) == {"2", "4", "8"}
    assert [cores for cores in rows if "not measured" not in rows[cores]["source"]] == ["2"]


def test_what_is_written_is_read(tmp_path):
    tuned = Tuned(settings=Settings(instances=2, workers=2, min_inflight=5), source="a test", cores=2)
    write_settings(tmp_path / "deep" / TUNED_NAME, tuned, [{"closed_loop_per_s": None}])
    assert read_settings(tmp_path / "deep" / TUNED_NAME) == tuned


def test_a_file_in_the_data_directory_counts_before_what_is_shipped_and_a_named_one_before_both(tmp_path):
    assert settings_for(tmp_path, 2) == (defaults(2), "shipped for 2 cores")
    own = Tuned(settings=Settings(instances=1), cores=2)
    write_settings(tmp_path / TUNED_NAME, own, [])
    assert settings_for(tmp_path, 2)[0] == own
    named = Tuned(settings=Settings(instances=7))
    write_settings(tmp_path / "named.json", named, [])
    assert settings_for(tmp_path, 2, tmp_path / "named.json")[0] == named


def test_settings_of_another_machine_are_used_and_told(tmp_path):
    write_settings(tmp_path / TUNED_NAME, Tuned(settings=Settings(), cores=8), [])
    _, source = settings_for(tmp_path, 2)
    assert "found on 8 cores while here are 2: run `bestiary tune`" in source


@pytest.mark.parametrize("text", ["", "{}", '{"settings": {"instances": 0}}', '{"settings": {"threads": 2}}'])
def test_a_file_that_holds_no_settings_is_told(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(SettingsError, match="run `bestiary tune`"):
        settings_for(tmp_path, 2, tmp_path / "settings.json")


def test_a_named_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        settings_for(tmp_path, 2, tmp_path / "none.json")
