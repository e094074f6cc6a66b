"""What earlier commands found is on the pages of the model that it is of."""

from __future__ import annotations

from pathlib import Path

from starlette.testclient import TestClient

from tests.serving.conftest import HOST, LIMITS, lines, png
from tests.tiny import save_model
from vitreous.inside.concept_page import ConceptsJob, concept_page
from vitreous.inside.given import Given
from vitreous.models.zoo import LoadedModel, load
from vitreous.serving.app import make_app


def test_concepts_are_on_the_page_of_the_model_that_they_are_of(
    model: LoadedModel, dataset: str, tmp_path: Path
) -> None:
    concept_page(ConceptsJob(model, dataset, count=2, draws=2, output=tmp_path / "concepts"))
    other = load(save_model(tmp_path / "other", embed_dim=16))
    app = make_app([model, other], frozenset({HOST}), LIMITS, Given(tmp_path / "concepts"))
    with TestClient(app, base_url=f"http://{HOST}") as client:
        picture = client.post("/pictures", content=png()).json()["picture"]
        asked = {"picture": picture, "methods": ["ag_cam"], "trust": False}
        first, second = (lines(client.post("/explain", json=asked | {"model": at}))[-1]["html"] for at in range(2))
    assert "How much of each concept of the pictures of" in first
    assert "has other weights" in second
    assert "<h2>Similarity</h2>" in second
