"""The card: ours is written anew, what others wrote stays, and no name does harm."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData
from markdown_it import MarkdownIt
from small_results import DAY, a_result
from test_markdown import EVIL
from test_package import ROOT

from hf_repsim.hub.artifact import result_key
from hf_repsim.hub.card import Entry, entries_of, models_of, newest_first, updated_card
from hf_repsim.hub.words import _CAPTIONS, card_text
from hf_repsim.result import COLUMN_MEANINGS
from hf_repsim.trajectory_plot import DRIFT_FIGURES, TRAJECTORY_FIGURES

LATER = f"{DAY}T11:30:00+00:00"


def entry(result):
    return Entry.of(result_key(result), result)


def card_of(*results, old="", names=("linear_cka.png", "report.html"), **options):
    entries = newest_first(map(entry, results))
    newest = next(r for r in results if result_key(r) == entries[0].key)
    body = card_text("me/it", newest, entries, names=names)
    return updated_card(old, body, entries, title="It", **options)


def metadata(card):
    return DatasetCard(card).data.to_dict()


def html(card):
    return MarkdownIt("commonmark").enable("table").render(DatasetCard(card).text)


def test_a_card_says_what_was_found_shows_it_and_how_to_load_it():
    card = card_of(a_result())
    for line in (
        "# Layer similarities of `org/one` and `org/two`",
        "](results/20261122_",
        'load_dataset("me/it", split="latest")',
        'load_from_hub("me/it", key="20261122_',
        "hf-repsim compare org/one@0123456789abcdef0123456789abcdef01234567",
        "- `svcca`: Raghu et al. 2017\n",
        "hf-repsim show me/it:20261122_",
    ):
        assert line in card
    assert "moments=True" not in card and "hf-repsim score" not in card
    with_sums = card_of(a_result(), names=("moments.safetensors",))
    assert "moments=True" in with_sums and "hf-repsim score me/it:20261122_" in with_sums
    assert "newest of" not in card
    assert "the newest of 2 results" in card_of(a_result(), a_result("org/three"))


def test_all_pictures_but_the_first_are_folded_those_that_say_most_first():
    names = ("error.png", "svcca.png", "convergence.png", "linear_cka.png")
    text = html(card_of(a_result(), names=names))
    shown = ["".join(one) for one in re.findall(r"/([a-z_]+)\.png|(</?details>)", text)]
    assert shown == ["linear_cka", "<details>", "svcca", "convergence", "error", "</details>"]
    assert "<summary>3 more pictures</summary>" in text


def test_every_figure_of_a_trajectory_or_a_drift_has_a_caption():
    assert set(_CAPTIONS) == set(TRAJECTORY_FIGURES | DRIFT_FIGURES)


def test_every_column_is_described_in_the_same_words_everywhere():
    text = html(card_of(a_result()))
    described = a_result().to_dataset().info.description
    for name in a_result().columns:
        meaning = COLUMN_MEANINGS[name]
        assert f"<td>{meaning}</td>" in text and f"{name}: {meaning}" in described


def test_the_citation_is_that_of_the_software():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = citation["references"]
    card = " ".join(card_of(a_result()).split())
    for told in (paper["title"], paper["doi"], f"{citation['title']} {citation['version']}"):
        assert told in card


def test_there_is_a_config_per_result_and_the_newest_is_the_default():
    old, new = a_result(), a_result(created=LATER)
    card = card_of(old, new)
    configs = MetadataConfigs.from_dataset_card_data(DatasetCardData(**metadata(card)))
    assert list(configs) == ["default", result_key(new), result_key(old)]
    assert configs.get_default_config_name() == "default"
    path = f"results/{result_key(new)}/similarity.parquet"
    assert configs["default"]["data_files"] == [{"split": "latest", "path": path}]
    assert [one.key for one in entries_of(card)] == [result_key(new), result_key(old)]


def test_of_one_day_the_result_created_later_is_the_newest():
    results = [a_result(value=i / 9, created=f"{DAY}T10:{i:02}:00+00:00") for i in range(9)]
    assert [one.key for one in newest_first(map(entry, results))] == [
        result_key(result) for result in reversed(results)
    ]
    assert newest_first([Entry("20261123_aaaaaaaa"), *map(entry, results)])[0].key[:8] == "20261123"


def test_models_are_tags_that_can_be_searched_for():
    result = a_result("openai/whisper-tiny", "my model")
    tags = metadata(card_of(result, tags=["phonetics"]))["tags"]
    assert tags[:3] == ["hf-repsim", "speech", "representation-similarity"]
    assert tags[3:] == ["phonetics", "hf-repsim:openai/whisper-tiny"]
    assert models_of([*tags, "hf-repsim:<b>", "other:a/b"]) == ["openai/whisper-tiny"]


def test_what_others_wrote_stays_when_results_come_and_ours_is_written_anew():
    first = card_of(a_result())
    person = first.replace("---\n", "---\nlicense: cc-by-4.0\nmine:\n  - 2024-01-31\n", 1)
    person = person.replace("tags:\n", "tags:\n- my-tag\n- hf-repsim:gone/model\n")
    person = person.replace(
        "configs:\n", "configs:\n- config_name: mine\n  data_files: a.csv\n", 1
    ).replace("<!-- hf-repsim: w", "# My words\n\n<!-- hf-repsim: w", 1)
    person += "\nMore of *mine*.\n"
    new = a_result("org/three", created=LATER)
    card = card_of(a_result(), new, old=person)
    told = metadata(card)
    assert told["license"] == "cc-by-4.0" and str(told["mine"][0]) == "2024-01-31"
    assert "my-tag" in told["tags"] and "hf-repsim:gone/model" not in told["tags"]
    assert {"config_name": "mine", "data_files": "a.csv"} in told["configs"]
    text = DatasetCard(card).text
    assert text.startswith("# My words") and text.rstrip().endswith("More of *mine*.")
    assert text.count("# Layer similarities") == 1 and "org/three" in text
    assert card_of(a_result(), new, old=card) == card


def test_a_card_without_metadata_or_marks_keeps_its_text_before_ours():
    card = card_of(a_result(), old="# A person's\r\n\r\nwords")
    assert DatasetCard(card).text.startswith("# A person's")
    assert "# Layer similarities" in card


@pytest.mark.parametrize(
    "config",
    [{"config_name": "default", "data_files": "a.csv"}, {"config_name": "a", "default": True}],
)
def test_a_default_that_a_person_chose_is_left(config):
    old = f"---\n{yaml.safe_dump({'configs': [config]})}---\n"
    configs = metadata(card_of(a_result(), old=old))["configs"]
    assert [one["config_name"] for one in configs] == [
        result_key(a_result()),
        config["config_name"],
    ]


def test_one_mark_without_its_partner_takes_no_text_with_it():
    first = card_of(a_result())
    torn = first.replace("<!-- hf-repsim: end -->", "") + "my words\n"
    card = card_of(a_result(), old=torn)
    assert "my words" in card
    assert "my words" in card_of(a_result(), old=card)


@pytest.mark.parametrize("old", ["---\na: [\n---\n", "---\n- a\n---\n", "---\na: &a [*a\n---\n"])
def test_metadata_that_cannot_be_read_is_said_and_nothing_is_lost(old):
    with pytest.raises(ValueError, match=r"the card \(README.md\) cannot be read: .*; mend it"):
        card_of(a_result(), old=old)


@pytest.mark.parametrize(
    "told",
    [
        [{**vars(Entry("../../etc")), "created": "2026-11-22"}],
        [{"key": "20261122_abcdef01", "models": "x"}],
        [{"key": "20261122_abcdef01", "models": [3]}],
        [None, "x", 3],
        {"key": "x"},
        "x",
    ],
)
def test_a_strangers_entries_are_passed_over_where_they_are_none(told):
    assert entries_of(f"---\n{yaml.safe_dump({'hf_repsim_results': told})}---\n") == []


def test_a_strangers_entry_is_shortened_and_printable():
    told = {**vars(entry(a_result())), "probe": "a\x1b" * 999, "models": ["b\n"]}
    (read,) = entries_of(f"---\n{yaml.safe_dump({'hf_repsim_results': [told]})}---\n")
    assert len(read.probe) == 300 and "\x1b" not in read.probe and read.models == ["b?"]
    assert replace(read, probe="", models=[]).heard == "120 utterances, 24,310 frames"


@pytest.mark.parametrize("name", EVIL)
def test_no_name_does_harm(name):
    notes = {"note": [name] * 8, name: ["x"] * 8}
    measures = ("linear_cka", name)
    result = a_result(name, name, measures=measures, probe={"dataset": name, "kind": "hub"})
    result = type(result)(result.columns | notes, result.provenance | {"created": f"{DAY} {name}"})
    names = ("linear_cka.png", f"{name}.png", "measure-2.png")
    card = card_of(result, names=names)
    tokens = MarkdownIt("commonmark").enable("table").parse(DatasetCard(card).text)
    inside = [child for token in tokens for child in token.children or ()]
    addresses = [child.attrs.get("href") or child.attrs.get("src") for child in inside]
    allowed = ("results/20261122_", "https://doi.org/", "https://huggingface.co/")
    assert all(address.startswith(allowed) for address in addresses if address)
    assert not [child for child in inside if child.type == "html_inline"]
    assert [t.content.strip()[:14] for t in tokens if t.type == "html_block"] == [
        "<!-- hf-repsim", "<details>\n<sum", "</details>", "<!-- hf-repsim"
    ]  # fmt: skip
    assert [t.type for t in tokens if t.tag == "h1"] == ["heading_open", "heading_close"]
    assert card_of(result, old=card, names=names) == card
    widths = [len(re.split(r"(?<!\\)\|", line)) for line in card.splitlines() if line[:1] == "|"]
    assert set(widths) == {8, 4}, "a name breaks a table"
    assert metadata(card)["configs"][0]["config_name"] == "default"
