"""The notebook's view: what the kernel answers, and in a browser, in a shadow of its own, what is clicked there."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.programs import wait_until
from tests.render.test_relations import unpacked
from tests.tiny import noise
from vitreous import live
from vitreous.errors import DataError, UnknownName
from vitreous.models.zoo import LoadedModel
from vitreous.serving.widget import LiveView
from vitreous.trace.observe import observe


@pytest.fixture
def view(model: LoadedModel) -> LiveView:
    return live(model, noise(1))


def sent(view: LiveView, *questions: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What it answers to what the front end sends."""
    answers: list[dict[str, Any]] = []
    view.send = lambda content, *_: answers.append(content)  # type: ignore[method-assign]
    for number, (kind, values) in enumerate(questions):
        view._handle_custom_msg({"kind": kind, "number": number, "values": values}, [])
    return answers


def test_the_view_explains_another_class_by_another_method(view: LiveView, model: LoadedModel) -> None:
    assert view.asked["methods"] == ["ag_cam"]
    assert view.about["classes"] == list(model.class_names)
    asked = {**view.asked, "methods": ["rollout", "attn_lrp"], "target": 2}
    (answer,) = sent(view, ("explain", asked))
    assert answer["number"] == 0
    assert [each["title"] for each in answer["told"]["data"]["methods"]] == ["Rollout", "AttnLRP"]
    assert answer["told"]["data"]["classes"][0]["name"] == model.class_names[2]
    json.dumps(answer)


def test_hidden_patches_are_of_what_was_explained_last(view: LiveView) -> None:
    hidden = {"rows": 4, "columns": 4, "patches": [3], "which": 0}
    asked = {**view.asked, "target": 1}
    first, _, second = (each["told"] for each in sent(view, ("hide", hidden), ("explain", asked), ("hide", hidden)))
    assert first["of"] != second["of"] == "probability of dog"


def test_single_heads_are_those_of_the_model(view: LiveView, model: LoadedModel) -> None:
    told, none = (each["told"] for each in sent(view, ("heads", {"block": 1}), ("heads", {"block": 2})))
    trace = observe(model.model, model.prepared()(noise(1))[None])
    attention = trace.tokens.of_patches(trace.tokens.of_patches(trace.global_attentions[1].weights, -1), -2)[0]
    rows = attention.detach().flatten(0, 1).numpy()
    assert told["layers"] == len(attention)
    assert np.abs(unpacked(told) - rows).max() <= np.ptp(rows, 1).max() / 500
    assert "no block named" in none["error"]
    about = view.told["data"]["relations"]["attends"]
    assert (about["layers"], about["heads"]) == (2, len(attention))


def test_what_cannot_be_is_a_sentence(view: LiveView) -> None:
    told = [each["told"]["error"] for each in sent(view, ("explain", {"methods": ["no"]}), ("hide", {"rows": 1}))]
    assert "no method named" in told[0]
    assert told[1] == "the request lacks a field. Load the page again."


def test_what_cannot_be_shown_is_said_at_once(model: LoadedModel) -> None:
    with pytest.raises(UnknownName, match="no method named"):
        live(model, noise(1), ["no"])
    with pytest.raises(DataError, match="there is no file"):
        live(model, "nowhere.png")


@pytest.mark.needs("chromium", "google-chrome")
def test_the_front_end_shows_and_asks(browser: Any, view: LiveView) -> None:
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.expose_function("kernel", lambda question: sent(view, (question["kind"], question["values"]))[0]["told"])
    state = {name: getattr(view, name) for name in ("style", "about", "asked", "told")}
    page.set_content("<div id='cell'></div>")
    page.evaluate(
        """async ([source, state]) => {
            const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const { default: widget } = await import(address);
            const heard = [];
            widget.render({ el: document.getElementById("cell"), model: {
                get: (name) => state[name],
                on: (_, hear) => heard.push(hear),
                send: async (question) => {
                    const told = await window.kernel(question);
                    for (const hear of heard) hear({ number: question.number, told });
                },
            } });
        }""",
        [view._esm, state],
    )
    page.wait_for_selector(".alive")
    page.get_by_label("Hide patches by click").check()
    page.locator(".picture .stage").click()
    page.get_by_text("1 patch of 16 hidden. The model then says:").wait_for()
    assert page.locator(".hiding caption").inner_text().count("%") == 2
    told = page.locator(".related .panel", has_text="Attends to")
    assert told.get_by_label("Head").is_hidden(), "those of all blocks together are no one's"
    told.get_by_label("Block").fill("1")
    averaged = told.locator(".value").inner_text()
    told.get_by_label("Head").fill("0")
    wait_until(page, lambda: told.locator(".value").inner_text() != averaged)
    page.get_by_role("tab", name="Similarity").click()
    page.get_by_text("Alike to the patch in row").wait_for()
    page.get_by_label("another class").fill("hen")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="hen").wait_for()
    page.get_by_role("tab", name="Similarity", selected=True).wait_for()
    assert not faults
    page.close()
