"""The explorer as a reader has it: Chromium points at it, types, and chooses."""

from __future__ import annotations

import pytest
from browser import find_browser
from pages import CHANCE, EVIL, REFUSED, centre, comparison, link, pixel
from pages import trajectories as followed

from hf_repsim.result import SimilarityResult

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium here to open the page with"),
]


def test_pointing_at_a_cell_tells_all_that_is_known_of_it(opened):
    n = len(comparison().columns["value"])
    page = opened(comparison(low=[0.1] * n, high=[0.2] * n))
    page.choose("measure", "svcca")
    page.point(*centre(page, 2, 3))
    told = page.text(".told")
    for said in ("encoder.2", "org/first", "encoder.3", "org/second", "0.2310", "SVCCA", "0.0212",
                 "0.1000 to 0.2000", "12 and 23", "500 utterances, 61,204 frames"):  # fmt: skip
        assert said in told, (said, told)


def test_what_is_pointed_at_is_let_go_and_what_is_clicked_stays(opened):
    page = opened(comparison())
    page.point(*centre(page, 2, 3))
    page.point(5, 5)
    assert page.text(".told b") == "encoder.0"
    page.point(*centre(page, 2, 3), click=True)
    page.point(5, 5)
    assert page.text(".told b") == "encoder.2"
    assert (link(page)["x"], link(page)["y"]) == ("encoder.2", "encoder.3")


def test_a_refused_cell_says_why_and_is_hatched(opened):
    page = opened(comparison())
    place = centre(page, 1, 2)
    page.point(*place)
    assert "refused" in page.text(".told strong") and REFUSED in page.text(".told")
    colours = {pixel(page, place[0] + d, place[1]) for d in range(-6, 7)}
    assert "0,0,0,0" in colours, "between the lines of the hatching is the page"
    page.point(*centre(page, 0, 0))
    assert CHANCE in page.text(".told")


def test_the_first_layer_is_at_the_bottom_and_at_the_left(opened):
    page = opened(comparison())
    brightness = [
        sum(int(part) for part in pixel(page, *(c - 12 for c in centre(page, i, j))).split(",")[:3])
        for i, j in ((0, 1), (0, 4), (2, 1), (3, 1))
    ]
    assert brightness == sorted(brightness)


def test_what_a_result_does_not_have_is_not_offered(opened):
    page = opened(comparison())
    ids = ("subject", "beside", "against", "measure", "colours", "step", "play", "csv")
    shown = [
        name for name in ids if page.run(f"document.getElementById('{name}').checkVisibility()")
    ]
    assert shown == ["measure", "colours", "csv"]
    assert not page.run("document.querySelector('.curve').checkVisibility()")


def test_arrow_keys_go_from_cell_to_cell_and_over_gaps(opened):
    result = comparison()
    kept = [i for i, y in enumerate(result.columns["layer_y"]) if y != "encoder.1"]
    columns = {name: [values[i] for i in kept] for name, values in result.columns.items()}
    page = opened(SimilarityResult(columns, result.provenance))
    page.run("document.querySelector('.map').focus()")
    for key, expected in (
        ("ArrowUp", ("encoder.1", "encoder.0")),
        ("ArrowRight", ("encoder.1", "encoder.2")),
        ("PageUp", ("encoder.3", "encoder.2")),
        ("End", ("encoder.3", "encoder.4")),
        ("ArrowRight", ("encoder.3", "encoder.4")),
        ("Home", ("encoder.3", "encoder.0")),
        ("ArrowDown", ("encoder.2", "encoder.0")),
    ):
        page.press(key)
        assert (link(page)["x"], link(page)["y"]) == expected, key


def test_everything_is_reached_by_tab_and_shows_where_it_is(opened):
    page = opened({"first": comparison(), "second": followed()})
    seen = []
    for _ in range(30):
        page.press("Tab")
        seen.append(
            page.run(
                "(() => { const e = document.activeElement, s = getComputedStyle(e);"
                "return [e.id || e.className || e.tagName, s.outlineStyle, s.outlineWidth]; })()"
            )
        )
    names = [name for name, *_ in seen]
    for name in ("subject", "beside", "measure", "colours", "map", "csv", "png", "link", "SUMMARY"):
        assert name in names, (name, names)
    outlines = {tuple(outline) for name, *outline in seen if name != "BODY"}
    assert outlines == {("solid", "3px")}


def test_another_measure_changes_map_values_and_scale(opened):
    page = opened(comparison(seed=1))
    place = centre(page, 3, 4)
    before = pixel(page, place[0] - 12, place[1] - 12)
    page.choose("measure", "svcca")
    assert "0.3010" in page.text(".told") and "SVCCA" in page.text(".told")
    page.choose("colours", "run")
    assert pixel(page, place[0] - 12, place[1] - 12) != before
    assert page.run("document.querySelector('#scale text').textContent") == "0.30"


def test_the_slider_and_play_go_through_the_checkpoints(opened):
    page = opened(followed(value=lambda seed, step: step / 20), width=1000)
    place = centre(page, 1, 1)
    before = pixel(page, place[0] - 12, place[1] - 12)
    page.run(
        "(() => { const s = document.getElementById('step'); s.value = 1;"
        "s.dispatchEvent(new Event('input')); })()"
    )
    assert page.text("#when") == "epoch 1.00, step 10, WER 90.0 %, CER 75.0 %"
    assert page.text(".told strong") == "0.5000"
    assert pixel(page, place[0] - 12, place[1] - 12) != before
    page.run("document.getElementById('play').click()")
    page.run(
        "new Promise((done) => { const wait = () => document.getElementById('play').textContent"
        " === 'Play' ? done() : setTimeout(wait, 50); setTimeout(wait, 100); })"
    )
    assert page.text("#when").startswith("epoch 2.00, step 20")


def test_the_curve_has_the_pair_and_both_error_rates(opened):
    page = opened(followed(value=lambda seed, step: 0.1 * seed + step / 40))
    drawn = page.run(
        "[...document.querySelectorAll('.curve path')].map((p) => p.className.baseVal)"
    )
    assert {"value", "band", "wer", "cer", "now"} <= set(drawn)
    said = page.text(".curve-figure figcaption")
    assert "word error rate" in said and "lowest to highest run" in said


def test_a_profile_has_a_point_per_layer_and_the_chance_level(opened):
    page = opened(comparison())
    assert page.run("document.querySelectorAll('.profile circle').length") == 4
    assert page.run("document.querySelector('.profile .chance').getAttribute('d').length") > 10
    assert "most similar" in page.text(".profile-figure figcaption")
    box = page.run(
        "(() => { const profile = document.querySelector('.profile'); profile.scrollIntoView();"
        "const b = profile.getBoundingClientRect();"
        "return [b.right, b.top, b.height]; })()"
    )
    page.point(box[0] - 12, box[1] + box[2] / 2, click=True)
    assert (link(page)["x"], link(page)["y"]) == ("encoder.3", "encoder.4")


def test_a_link_leads_back_to_the_same_view(opened):
    results = {"first": comparison(), "second": followed()}
    page = opened(results)
    page.choose("subject", 1)
    page.choose("against", "self")
    page.choose("measure", "flat_pearson")
    page.choose("beside", 2)
    page.choose("colours", "run")
    page.run("document.querySelector('.map').focus()")
    page.press("ArrowRight")
    address = page.run("document.getElementById('link').hash.slice(1)")
    again = opened(results, address=address)
    assert again.run("document.getElementById('link').hash.slice(1)") == address
    assert again.run("document.querySelectorAll('.pane').length") == 2


@pytest.mark.parametrize("asked", ["constructor", "__proto__", "%00", EVIL])
def test_a_link_from_a_stranger_names_only_what_is_there(opened, asked):
    names = ("subject", "beside", "against", "measure", "x", "y", "colours", "step")
    page = opened(followed(), address="&".join(f"{name}={asked}" for name in names))
    assert link(page)["measure"] == "blocked_cka"
    assert page.run("document.querySelectorAll('.pane').length") == 1


def test_two_results_are_pointed_at_together(opened):
    page = opened({"first": comparison(), "second": comparison(3, 3, seed=1)}, width=1400)
    page.choose("beside", 1)
    assert page.run("document.querySelectorAll('.pane').length") == 2
    page.point(*centre(page, 2, 1))
    values = page.run("[...document.querySelectorAll('.told strong')].map((e) => e.textContent)")
    assert values == ["0.2100", "0.5100"]
    page.point(*centre(page, 0, 2, pane=1))
    values = page.run("[...document.querySelectorAll('.told strong')].map((e) => e.textContent)")
    assert values == ["0.0200", "0.3200"]


def test_a_measure_that_one_of_two_results_lacks_is_said_to_be_lacking(opened):
    page = opened({"first": comparison(), "second": comparison(measures=("svcca",))})
    page.choose("beside", 1)
    said = page.run("[...document.querySelectorAll('.told')].map((e) => e.innerText)")
    assert said[1] == "linear CKA was not computed for second."
    page.choose("measure", "svcca")
    assert "SVCCA" in page.run("document.querySelectorAll('.told')[1].innerText")
