"""Settings: where they come from, and the one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.kafka.client import options
from stream.settings import DEFAULT_MAPPING, SettingError, load


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_defaults_stand_without_any_setting() -> None:
    settings = load()
    assert settings.kafka.brokers == []
    assert settings.mapping == DEFAULT_MAPPING
    assert settings.matching.several == "dead-letter"


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "revstream.toml").write_text(
        '[kafka]\nbrokers = ["file:9092"]\npartitions = 3\n[mapping.Account]\nName = "name"\n'
    )
    monkeypatch.setenv("KAFKA_BROKERS", "a:1, b:2")
    settings = load()
    assert settings.kafka.brokers == ["a:1", "b:2"]
    assert settings.kafka.partitions == 3
    assert settings.fields_of("Account") == {"Name": "name"}


def test_a_mapping_of_ones_own_takes_the_place_of_its_object_alone(tmp_path: Path) -> None:
    own = '[mapping.Account]\nName = "name"\n[mapping.Invoice__c]\nName = "number"\n[mapping.Task]\n'
    (tmp_path / "revstream.toml").write_text(own)
    mapping = load().mapping
    assert mapping["Account"] == {"Name": "name"}
    assert mapping["Invoice__c"] == {"Name": "number"}
    assert mapping["Task"] == {}
    assert mapping["Contact"] == DEFAULT_MAPPING["Contact"]


def test_secrets_come_from_files_and_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("whsec_one,whsec_two\n")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRETS_FILE", str(tmp_path / "secret"))
    settings = load()
    assert [s.get_secret_value() for s in settings.stripe.webhook_secrets] == ["whsec_one", "whsec_two"]
    assert "whsec_one" not in repr(settings)


def test_foreign_variables_are_not_taken_for_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "tcp://10.0.0.1:9092")
    monkeypatch.setenv("GATEWAY_PORT_8080_TCP", "tcp://10.0.0.1:8080")
    load()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("KAFKA_PARTITIONS", "many", "KAFKA_PARTITIONS: Input should be a valid integer"),
        (
            "MATCHING_SEVERAL",
            "guess",
            "MATCHING_SEVERAL: Input should be 'newest', 'create' or 'dead-letter'",
        ),
        (
            "STRIPE_WEBHOOK_SECRETS",
            "whsec_a,,whsec_b",
            "STRIPE_WEBHOOK_SECRETS: Value error, one of the secrets is blank",
        ),
        ("SALESFORCE_API_VERSION", "65", "SALESFORCE_API_VERSION: String should match pattern"),
    ],
)
def test_a_wrong_value_is_named_with_how_to_set_it(
    variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingError) as error:
        load()
    message = str(error.value)
    assert message.startswith(told)
    assert f"Set the environment variable {variable}, or `" in message
    assert "\n" not in message
    assert "whsec" not in message


def test_a_typo_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "revstream.toml").write_text("[kafka]\nbroker = 'a:1'\n")
    with pytest.raises(SettingError, match=r"KAFKA_BROKER: Extra inputs are not permitted"):
        load()


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "revstream.toml").write_text("[kafka\n")
    with pytest.raises(SettingError, match=r"^revstream\.toml: "):
        load()


def test_a_secret_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY_FILE", "/nowhere/key")
    with pytest.raises(SettingError, match=r"STRIPE_API_KEY_FILE: cannot read /nowhere/key: No such file"):
        load()


def test_sasl_needs_its_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BROKERS", "a:1")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(SettingError, match="KAFKA_SASL_USERNAME: SASL_SSL needs a user"):
        options(load().kafka)
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "me")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "secret")
    assert options(load().kafka)["sasl_plain_password"] == "secret"
