"""The report and its pictures, and what of them is only loaded when it is needed."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluation_toys import RecordingEngine, ToyDataset, toy
from PIL import Image
from rich.console import Console

from SPASegmentLib.research.evaluation import Results, TransferOptions, run
from SPASegmentLib.research.evaluation.report import typical_case
from SPASegmentLib.research.evaluation.variants import for_each_count

PEOPLE = ("Ann", "Bob", "Cy", "Di")
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def a_report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results, str]:
    """A folder with everything in it, what it was made from, and what the terminal showed."""
    out = tmp_path_factory.mktemp("report")
    shown = io.StringIO()
    results = run(
        {"toy": toy(), "still": toy("still", candidates=0)},
        ToyDataset(24, names=PEOPLE, empty=(3,)),
        out=out,
        transfer=TransferOptions(("raters:Di",), warm=3, length=12),
        command="spasegment evaluate --dataset toys",
        console=Console(file=shown, width=80),
    )
    return out, results, shown.getvalue()


def test_the_report_shows_every_picture_it_names_and_names_every_picture(a_report: tuple) -> None:
    out, _, _ = a_report
    named = set(re.findall(r"!\[[^]]+\]\(([^)]+)\)", (out / "report.md").read_text(encoding="utf-8")))
    assert named == {f"pictures/{path.name}" for path in (out / "pictures").iterdir()}
    for name in named:
        picture = np.asarray(Image.open(out / name).convert("L"))
        assert picture.std() > 5, f"{name} is blank"
    expected = {"dice-by-iteration", "noi", "failures", "candidate-similarity", "calibration"}
    expected |= {"alignment-1", "alignment-case-1", "transfer-1"}
    assert expected <= {Path(name).stem for name in named}


def test_the_report_holds_the_figures_of_the_results(a_report: tuple) -> None:
    out, results, _ = a_report
    text = (out / "report.md").read_text(encoding="utf-8")
    model = results.summary["models"]["toy"]
    low, high = model["interval"]["6"]
    assert f"{model['dice']['6']:.4f} [{low:.3f}, {high:.3f}]" in text
    assert f"{100 * model['gain']['1-2']:+.2f}" in text
    assert f"{model['noi']['0.80']:.2f}" in text
    approve = model["users"]["approve"]
    assert (
        f"| toy, approve | {approve['dice']['6']:.4f} | {approve['against_always_pick']['dice']['6']:+.4f} "
        in text
    )
    assert f" | {approve['auc']:.4f} | {approve['surface_dice']['1']:.3f} | " in text
    assert "within 1 mm, or 2 pixels" in text
    names = ("ged", "ged_drawn", "d_max", "ece", "ged_16", "hm_iou_16", "d_max_16")
    figures = " | ".join(f"{model[name]:.4f}" for name in names)
    assert f"| {figures} |" in text
    assert "toy - still" in text
    assert "spasegment evaluate --dataset toys" in text
    assert "1 case(s) without a target" in text
    di = results.transfer["models"]["toy"]["users"]["raters:Di"]
    assert f"{di['carried_dice']:.4f} | {di['dice_difference']:+.4f}" in text


def test_every_table_row_has_as_many_cells_as_its_head(a_report: tuple) -> None:
    out, _, _ = a_report
    for table in re.findall(r"(?:^\|.*\n)+", (out / "report.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_terminal_shows_the_transfer_too_and_nothing_is_cut_off(a_report: tuple) -> None:
    _, _, shown = a_report
    assert "carried profile: toy" in shown
    assert "raters:Di" in shown
    assert "…" not in shown


def test_the_same_results_draw_the_same_report(a_report: tuple, tmp_path: Path) -> None:
    from SPASegmentLib.research.evaluation.report import write_report

    out, results, _ = a_report
    dataset = ToyDataset(24, names=PEOPLE, empty=(3,))
    command = "spasegment evaluate --dataset toys"
    write_report(results, tmp_path, dataset=dataset, transfer=results.transfer, command=command)
    assert (tmp_path / "report.md").read_bytes() == (out / "report.md").read_bytes()
    for path in (out / "pictures").iterdir():
        assert (tmp_path / "pictures" / path.name).read_bytes() == path.read_bytes()


def test_the_case_shown_is_the_median_one_and_not_the_best(a_report: tuple) -> None:
    _, results, _ = a_report
    records = results.records["toy"]
    chosen = typical_case(records)
    assert chosen is not None
    assert 0 < len(chosen.included) < 4
    gains = sorted(r.dice[-1] - r.dice[0] for r in records if 0 < len(r.included) < 4)
    assert chosen.dice[-1] - chosen.dice[0] == gains[len(gains) // 2]
    assert typical_case([]) is None


def test_without_report_there_are_figures_and_no_pictures(tmp_path: Path) -> None:
    run({"toy": toy()}, ToyDataset(3), out=tmp_path, report=False)
    assert (tmp_path / "results.json").exists()
    assert not (tmp_path / "report.md").exists()


def test_one_model_whose_every_image_is_refused_still_gets_a_report(tmp_path: Path) -> None:
    run({"toy": toy()}, ToyDataset(2, constant=(0, 1)), out=tmp_path)
    assert "| toy | 2 | 0.0000 [0.000, 0.000]" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_other_numbers_of_samples_are_reported_as_models_of_their_own() -> None:
    found = run({"toy": toy()}, ToyDataset(3), sample_counts=(24, 36)).summary["models"]
    assert list(found) == ["toy", "toy N=24", "toy N=36"]
    assert found["toy N=24"]["ged"] != found["toy N=36"]["ged"]
    assert found["toy N=24"]["model"] == found["toy"]["model"]


def test_every_request_of_such_a_model_asks_for_its_samples() -> None:
    recording = RecordingEngine()
    engines = for_each_count({"toy": lambda: recording}, (36,))
    run(dict(engines), ToyDataset(2), report=False)
    assert {request.n_samples for request in recording.requests} == {36}


def test_plots_and_networks_are_not_loaded_before_they_are_needed() -> None:
    code = (
        "import sys, SPASegmentLib.research.evaluation;"
        " print({'matplotlib', 'torch', 'sklearn'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True
    )
    assert found.stdout.strip() == "set()"
