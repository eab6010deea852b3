"""`evaluate` gives the same figures however it is run, and goes on after a kill."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation_toys import OracleToy, ToyDataset, ToyEngine, toy
from rich.console import Console
from written_figures import figures, without_times

from SPASegmentLib.errors import DatasetError, SPASegmentError
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.research.evaluation import Options, evaluate, run, runner
from SPASegmentLib.research.evaluation.runner import file_name

QUICK = Options(resamples=200)
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def two_models() -> dict:
    return {"toy": toy("toy"), "narrow": toy("narrow", step=0.3)}


def test_two_runs_write_the_same_but_for_times(two_models: dict, tmp_path: Path) -> None:
    for name in ("first", "second"):
        evaluate(two_models, ToyDataset(empty=(1,)), QUICK, out=tmp_path / name)
    assert figures(tmp_path / "first") == figures(tmp_path / "second")
    targets = [(tmp_path / name / "targets.json").read_bytes() for name in ("first", "second")]
    assert targets[0] == targets[1]


def test_workers_and_order_change_no_figure(two_models: dict, tmp_path: Path) -> None:
    evaluate(two_models, ToyDataset(), QUICK, out=tmp_path / "one")
    evaluate(two_models, ToyDataset(), Options(resamples=200, workers=2), out=tmp_path / "two")
    evaluate(two_models, ToyDataset(reverse=True), QUICK, out=tmp_path / "backwards")
    assert figures(tmp_path / "one") == figures(tmp_path / "two")
    assert figures(tmp_path / "one") == figures(tmp_path / "backwards")


def test_one_model_alone_gets_the_targets_it_gets_in_company(two_models: dict) -> None:
    together = evaluate(two_models, ToyDataset(), QUICK)
    alone = evaluate({"narrow": two_models["narrow"]}, ToyDataset(), QUICK)
    assert alone.targets == together.targets
    assert without_times(alone.summary["models"]["narrow"]) == without_times(
        together.summary["models"]["narrow"]
    )


def test_an_engine_is_as_good_as_a_factory_of_it() -> None:
    built = evaluate({"toy": ToyEngine()}, ToyDataset(4), QUICK)
    made = evaluate({"toy": toy()}, ToyDataset(4), QUICK)
    assert without_times(built.summary) == without_times(made.summary)


def test_results_have_the_structure_others_script_against(two_models: dict, tmp_path: Path) -> None:
    evaluate(two_models, ToyDataset(empty=(5,)), QUICK, out=tmp_path)
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert list(found["models"]) == ["toy", "narrow"]
    model = found["models"]["toy"]
    assert list(model["dice"]) == ["1", "2", "3", "4", "5", "6"]
    for iteration, (low, high) in model["interval"].items():
        assert low <= model["dice"][iteration] <= high
    assert model["cases"] == 7
    assert model["skipped"] == 1
    assert model["seconds_per_click"] > 0
    assert model["seconds_per_pick"] > 0
    assert model["peak_memory_mb"] > 10
    assert model["device"] == "cpu"
    [pair] = found["paired"]
    assert (pair["first"], pair["second"], pair["cases"]) == ("toy", "narrow", 7)
    difference = model["dice"]["6"] - found["models"]["narrow"]["dice"]["6"]
    assert pair["dice"]["6"] == pytest.approx(difference, abs=2e-6)
    targets = json.loads((tmp_path / found["targets_file"]).read_text(encoding="utf-8"))
    assert [row["case"] for row in targets["cases"]] == [f"case-{i:03d}" for i in range(8) if i != 5]
    assert targets["skipped"] == ["case-005"]
    rows = (tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 2 * 7


def test_picks_help_the_toy() -> None:
    """The toy moves towards what is picked, so its Dice rises; one that hardly moves gains less."""
    found = evaluate({"toy": toy(), "narrow": toy("narrow", step=0.2)}, ToyDataset(16), QUICK).summary
    assert found["models"]["toy"]["gain"]["1-2"] > found["models"]["narrow"]["gain"]["1-2"] > 0


def test_a_limit_takes_the_same_cases_each_time_and_a_larger_one_adds_some() -> None:
    def cases(limit: int | None, seed: int = 0) -> set[str]:
        options = Options(resamples=10, limit=limit, protocol_seed=seed)
        return {row["case"] for row in evaluate({"toy": toy()}, ToyDataset(12), options).targets["cases"]}

    assert len(cases(3)) == 3
    assert cases(3) == cases(3)
    assert cases(3) < cases(6) < cases(None) == cases(99)
    assert cases(3) != cases(3, seed=1)


def test_a_larger_limit_goes_on_where_the_smaller_one_ended(tmp_path: Path) -> None:
    trace = tmp_path / "read.txt"
    for limit in (3, 5):
        evaluate(
            {"toy": toy()},
            ToyDataset(8, trace=trace),
            Options(resamples=10, limit=limit),
            out=tmp_path / "out",
        )
    assert len(trace.read_text(encoding="utf-8").split()) == 5


def test_every_model_is_compared_with_the_one_that_is_named(two_models: dict, tmp_path: Path) -> None:
    three = {**two_models, "still": toy("still", candidates=0)}
    plain, named = (
        evaluate(three, ToyDataset(4), replace(QUICK, against=name), out=tmp_path).summary["paired"]
        for name in (None, "narrow")
    )
    assert [(pair["first"], pair["second"]) for pair in plain] == [("toy", "narrow"), ("toy", "still")]
    assert [(pair["first"], pair["second"]) for pair in named] == [("toy", "narrow"), ("still", "narrow")]
    assert named[0] == plain[0]
    assert list(named[1]["users"]) == ["approve"]
    with pytest.raises(
        SPASegmentError, match=r"no model 'rival' in this run to compare with; .* toy, narrow"
    ):
        evaluate(two_models, ToyDataset(4), replace(QUICK, against="rival"))


def test_what_is_done_is_not_done_again(two_models: dict, tmp_path: Path) -> None:
    trace = tmp_path / "read.txt"
    first = evaluate(two_models, ToyDataset(trace=trace), QUICK, out=tmp_path / "out")
    before = trace.read_text(encoding="utf-8")
    again = evaluate(two_models, ToyDataset(trace=trace), QUICK, out=tmp_path / "out")
    assert trace.read_text(encoding="utf-8") == before
    assert without_times(again.summary) == without_times(first.summary)


def living(session: int) -> list[str]:
    """The processes of a session that are neither gone nor waiting to be reaped (nothing but on Linux)."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = status.read_text(encoding="utf-8").rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if its_session == str(session) and state not in "ZX":
            found.append(status.parent.name)
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    ("workers", "end"), [(1, signal.SIGKILL), (2, signal.SIGKILL), (2, signal.SIGINT)], ids=str
)
def test_a_stopped_evaluation_goes_on_to_the_same_figures(tmp_path: Path, workers: int, end: int) -> None:
    code = (
        "import signal\n"
        "from pathlib import Path\n"
        "from evaluation_toys import ToyDataset, toy\n"
        "from SPASegmentLib.research.evaluation import Options, evaluate\n"
        # A shell that starts the tests in the background lets its children ignore Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if __name__ == '__main__':\n"
        f"    options = Options(resamples=50, workers={workers})\n"
        f"    out = Path({str(tmp_path / 'killed')!r})\n"
        "    evaluate({'toy': toy(pause=0.02)}, ToyDataset(12), options, out=out)\n"
    )
    script = tmp_path / "evaluate_toys.py"
    script.write_text(code)
    support = Path(__file__).parent / "support"
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{support}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    records = tmp_path / "killed" / "cases" / "toy.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        records.exists() and records.read_text(encoding="utf-8").count("\n") > 3
    ):
        time.sleep(0.01)
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as Ctrl-C does, to parent and workers
    else:
        process.send_signal(end)
    assert process.wait(30) != 0
    while time.monotonic() < deadline and living(process.pid):
        time.sleep(0.05)
    assert living(process.pid) == []  # no worker outlives the evaluation
    done = records.read_text(encoding="utf-8").count("\n") - 1
    assert 3 <= done < 12
    options = Options(resamples=50)
    evaluate({"toy": toy(pause=0.0)}, ToyDataset(12), options, out=tmp_path / "killed")
    evaluate({"toy": toy(pause=0.0)}, ToyDataset(12), options, out=tmp_path / "whole")
    assert figures(tmp_path / "killed") == figures(tmp_path / "whole")


@pytest.mark.parametrize(
    "other",
    [Options(protocol_seed=1), Options(target="largest"), Options(n_samples=24), Options(engine_seed=1)],
    ids=["seed", "target", "samples", "engine seed"],
)
def test_another_evaluation_does_not_mix_with_the_one_in_the_folder(tmp_path: Path, other: Options) -> None:
    evaluate({"toy": toy()}, ToyDataset(2), QUICK, out=tmp_path)
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(SPASegmentError, match="holds another evaluation"):
        evaluate({"toy": toy()}, ToyDataset(2), other, out=tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before


def test_records_made_with_other_constants_of_inference_are_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate({"toy": toy()}, ToyDataset(2), QUICK, out=tmp_path)
    monkeypatch.setattr(runner, "DEFAULT", replace(DEFAULT, close_enough=0.5))
    with pytest.raises(SPASegmentError, match="holds another evaluation"):
        evaluate({"toy": toy()}, ToyDataset(2), QUICK, out=tmp_path)


def test_a_model_may_be_added_to_a_folder_later(tmp_path: Path, two_models: dict) -> None:
    evaluate({"toy": two_models["toy"]}, ToyDataset(3), QUICK, out=tmp_path)
    found = evaluate(two_models, ToyDataset(3), QUICK, out=tmp_path)
    assert list(found.summary["models"]) == ["toy", "narrow"]


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = evaluate({"toy": toy()}, ToyDataset(3), QUICK)
    assert found.out is None
    assert list(tmp_path.iterdir()) == []


def test_run_shows_the_table_on_the_console() -> None:
    text = io.StringIO()
    console = Console(file=text, width=80)
    run({"toy": toy(), "narrow": toy("narrow", step=0.3)}, ToyDataset(4), console=console, report=False)
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["toy", "4"] for line in lines)
    assert any("toy - narrow" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Options(limit=0), "limit must be at least one"),
        (Options(users=()), "no such user"),
        (Options(users=("always",)), "no such user"),
        (Options(target="best"), "is no target"),
        (Options(target="raters:Ann"), "no rater 'Ann'"),
        (Options(target="raters:Ann", workers=2), "no rater 'Ann'"),
    ],
    ids=[
        "no case",
        "no user",
        "unknown user",
        "unknown target",
        "unknown rater",
        "unknown rater in a worker",
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_sentence(options: Options, sentence: str) -> None:
    with pytest.raises(SPASegmentError, match=sentence):
        evaluate({"toy": toy()}, ToyDataset(2), options)


def test_no_model_and_no_target_are_said_in_one_sentence() -> None:
    with pytest.raises(SPASegmentError, match="no model"):
        evaluate({}, ToyDataset(2))
    with pytest.raises(SPASegmentError, match="None of the cases has a target"):
        evaluate({"toy": toy()}, ToyDataset(2, empty=(0, 1)))


def test_a_rater_target_is_what_that_rater_drew() -> None:
    names = ("Ann", "Bob", "Cy", "Di")
    dataset = ToyDataset(6, names=names)
    found = evaluate({"toy": toy()}, dataset, Options(resamples=10, target="raters:Bob"))
    pixels = {row["case"]: row["pixels"] for row in found.targets["cases"]}
    assert pixels == {case.case_id: int(case.masks[1].sum()) for case in dataset}


def test_models_spelt_alike_get_files_of_their_own() -> None:
    names = ["SPA N=48", "spa n 48", "SPA/N=48", "..", "compact"]
    files = [file_name(name, names) for name in names]
    assert len({name.lower() for name in files}) == len(names)
    assert files[-1] == "compact.jsonl"


def test_a_rater_missing_from_some_cases_is_an_error_not_a_guess() -> None:
    with pytest.raises(DatasetError, match="choose among 0, 1, 2, 3"):
        evaluate({"toy": toy()}, ToyDataset(2), Options(target="without:7"))


def test_an_engine_that_is_shown_the_target_is_marked_and_never_the_one_others_are_measured_by() -> None:
    engines = {"peeks": OracleToy, "toy": toy(), "narrow": toy("narrow", step=0.3)}
    text = io.StringIO()
    console = Console(file=text, width=80)
    found = run(engines, ToyDataset(4), sample_counts=(24,), console=console, report=False).summary
    assert [name for name, model in found["models"].items() if model["oracle"]] == ["peeks", "peeks N=24"]
    assert found["models"]["peeks"]["dice"]["1"] == 1
    assert {pair["first"] for pair in found["paired"]} == {"toy"}
    assert "(oracle)" in text.getvalue()
