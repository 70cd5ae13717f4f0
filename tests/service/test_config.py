"""The configuration file: what may be left out, and how a mistake is told."""

from pathlib import Path

import pytest

from driftbell.service.config import ConfigError, load_config, load_prices, parse_address
from driftbell.service.config_secrets import missing_secrets

FULL = """
data_dir: /var/lib/driftbell
listen: {http: "0.0.0.0:4318", grpc: null}
token: env:DRIFTBELL_TOKEN
prices:
  atlas: {input: 2.5, output: 10}
retention: {calls: 30d}
schedule: {evaluate_every: 30s}
alerts:
  channels:
    hook: {kind: webhook, url: "https://example.com/in", secrets: ["env:HOOK_SECRET"]}
  routes: [{channels: [hook]}]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "driftbell.yaml"
    file.write_text(text)
    return file


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as told:
        load_config(written(folder, text))
    return str(told.value)


def test_without_a_file_everything_has_a_default():
    assert load_config(None).listen.http == "127.0.0.1:4318"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}"])
def test_an_empty_file_is_valid(tmp_path, text):
    assert load_config(written(tmp_path, text)) == load_config(None)


def test_lengths_of_time_are_written_as_people_write_them(tmp_path):
    config = load_config(written(tmp_path, FULL))
    assert config.retention.calls == 30 * 86400
    assert config.schedule.evaluate_every == 30


def test_prices_reach_the_price_table(tmp_path):
    assert load_config(written(tmp_path, FULL)).price_table().models["atlas"].output == 10


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("listen:\n  htpp: 127.0.0.1:1\n", "line 2: listen.htpp: unknown key, did you mean http?"),
        ("alerts:\n  chanels: {}\n", "line 2: alerts.chanels: unknown key, did you mean channels?"),
        ("nonsense_of_my_own: 1\n", "line 1: nonsense_of_my_own: unknown key; known here: alerts, data_dir,"),
        ("prices:\n  gpt: {input: 1, output: -2}\n", "line 2: prices.gpt.output: "),
        ("prices:\n  gpt: {input: 1}\n", "line 2: prices.gpt.output: is missing"),
        ("listen: {http: here}\n", "write HOST:PORT"),
        ("listen: {otlp_paths: [otel/]}\n", "write one like /team/otel"),
        ("listen: 5\n", "line 1: listen: must hold keys and values"),
        ("alerts:\n", "line 1: alerts: must hold keys and values; leave it out where there are none"),
        ("alerts: {channels: {a: {kind: fax}}}\n", "there is no kind 'fax'; there are 'webhook', 'slack', "),
        ("weekly: {recipients: [{name: a, email: [a@b.example]}]}\n", "add a channel of 'kind: email'"),
    ],
)
def test_a_mistake_names_its_line_and_what_to_write(tmp_path, text, told):
    assert told in complaint(tmp_path, text)


def test_an_unknown_key_of_a_channel_is_compared_with_the_keys_of_its_kind(tmp_path):
    text = "alerts:\n  channels:\n    hook:\n      kind: webhook\n      urll: https://example.com\n"
    assert "line 5: alerts.channels.hook.urll: unknown key, did you mean url?" in complaint(tmp_path, text)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path):
    lines = complaint(tmp_path, "listen: {x: 1}\nschedule: {y: 2}\nzz: 3\n").splitlines()
    assert [line.split("line ")[1][0] for line in lines] == ["1", "2", "3"]


def test_a_secret_in_the_file_itself_is_refused_and_not_repeated(tmp_path):
    told = complaint(tmp_path, "token: sk-very-secret-value\n")
    assert "env:NAME or file:PATH" in told
    assert "very-secret" not in told


def test_a_key_that_stands_twice_is_refused(tmp_path):
    assert "line 2: listen stands there twice" in complaint(tmp_path, "listen: {}\nlisten: {}\n")


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "just words", "\t: x", "a: &a [*a]\n", "? {a: b}\n: 1\n"])
def test_what_is_no_configuration_is_one_clear_error(tmp_path, text):
    assert complaint(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*absent\.yaml: No such file"):
        load_config(tmp_path / "absent.yaml")


def test_secrets_that_are_not_set_are_listed_by_their_place(tmp_path, monkeypatch):
    monkeypatch.setenv("DRIFTBELL_TOKEN", "abc")
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    (missing,) = missing_secrets(load_config(written(tmp_path, FULL)))
    assert missing.startswith("alerts.channels.hook.secrets.0: ")
    assert "env:HOOK_SECRET" in missing


def test_a_price_file_is_read(tmp_path):
    file = tmp_path / "prices.json"
    file.write_text('{"atlas": {"input": 1, "output": 2, "cached_input": 0.5}}')
    assert load_prices(file)["atlas"].cached_input == 0.5


@pytest.mark.parametrize(
    "text", ["", "[]", '{"atlas": 3}', '{"atlas": {"input": "NaN", "output": 1}}', '{"a": {"inptu": 1}}']
)
def test_a_bad_price_file_is_one_clear_error(tmp_path, text):
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"prices\.json"):
        load_prices(file)


@pytest.mark.parametrize(("text", "pair"), [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:4318", ("::1", 4318))])
def test_an_address_is_a_host_and_a_port(text, pair):
    assert parse_address(text) == pair


@pytest.mark.parametrize("text", ["", "4318", ":4318", "host:", "host:70000", "host:http"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)


def test_channels_without_a_route_are_refused(tmp_path):
    told = complaint(tmp_path, FULL.replace("  routes: [{channels: [hook]}]\n", ""))
    assert "nobody would be told" in told


def test_a_metric_that_does_not_exist_is_refused_with_the_nearest_name(tmp_path):
    told = complaint(tmp_path, "detectors:\n  worth: {cost_per_cal: 1.3}\n")
    assert "line 2: detectors.worth: unknown metric 'cost_per_cal', did you mean cost_per_call?" in told
    told = complaint(tmp_path, "detectors:\n  limits:\n    - {metric: latency, above: 5000}\n")
    assert "line 3: detectors.limits.0.metric: unknown metric 'latency', did you mean latency_ms?" in told
    told = complaint(tmp_path, "detectors:\n  budgets:\n    - {usd: 3, per: dya}\n")
    assert "detectors.budgets.0.per" in told
    told = complaint(tmp_path, "detectors:\n  limits:\n    - {metric: status, abov: 5}\n")
    assert "did you mean above?" in told
    load_config(written(tmp_path, "detectors:\n  worth: {eval.groundedness: 0.9}\n"))


def test_workflows_have_a_retention_of_their_own(tmp_path):
    file = tmp_path / "driftbell.yaml"
    own = "workflows: {claims-*: {calls: 5d}}"
    file.write_text(f"retention: {{calls: 20d, bodies: 1d, {own}}}\nkeep_bodies: [claims-*]\n")
    config = load_config(file)
    policy = config.retention.policy()
    assert (policy.of("claims-eu").calls, policy.of("triage").calls) == (5, 20)
    assert (policy.of("claims-eu").bodies, policy.longest) == (1, 20)
    assert config.keep_bodies == ["claims-*"]


def test_a_retention_that_does_not_grow_is_told_for_its_workflow(tmp_path):
    file = tmp_path / "driftbell.yaml"
    file.write_text("retention: {workflows: {claims-*: {calls: 1d}}}\n")
    with pytest.raises(ConfigError, match=r"claims-\*"):
        load_config(file)
