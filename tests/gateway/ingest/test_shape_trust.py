"""After a disagreement of the two judges (D45) this process judges whole, and says so once."""

from datetime import UTC

from fakes.fhir_studies import SITE, report
from fakes.taken_in import take
from structlog.testing import capture_logs

from gateway.ingest import Pipeline, pipeline, plan_ingest
from gateway.ingest.pipeline import DISAGREES, ShapeTrust
from mappings.fhir.judge import CLASSES, Shapes


async def test_no_pipeline_of_the_process_judges_by_shape_after_a_disagreement(sqlite_engine, monkeypatch):
    trust, shapes = ShapeTrust(), Shapes(CLASSES)
    monkeypatch.setattr(pipeline, "TRUST", trust)
    monkeypatch.setattr(plan_ingest, "_SHAPES", shapes)
    one, other = Pipeline(sqlite_engine, SITE, UTC), Pipeline(sqlite_engine, SITE, UTC)
    await take(one)
    assert len(shapes) > 0
    assert (trust.trouble, one.settings.by_shape) == ("", True)
    shapes.distrust()
    with capture_logs() as logs:
        for number, each in enumerate((one, other, one), 1):
            await take(each, report(reportPlainText=f"Text {number}."))
    assert trust.trouble == DISAGREES
    assert not one.settings.by_shape
    assert not other.settings.by_shape
    assert [line["log_level"] for line in logs if line["event"] == "judge-disagrees"] == ["error"]
