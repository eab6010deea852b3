"""A profile carried from case to case, judged against a fresh one each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_toys import RecordingEngine, ToyDataset, ToyEngine, toy

from SPASegmentLib.errors import DatasetError, SPASegmentError
from SPASegmentLib.inference.config import DEFAULT
from SPASegmentLib.profiles.codec import encode
from SPASegmentLib.profiles.store import ProfileStore
from SPASegmentLib.profiles.summary import tendency
from SPASegmentLib.research.evaluation import Options, transfer
from SPASegmentLib.research.evaluation.disk_profiles import DiskProfiles
from SPASegmentLib.research.evaluation.interaction import interact
from SPASegmentLib.research.evaluation.metrics import dice
from SPASegmentLib.research.evaluation.protocol import TargetRule, draw
from SPASegmentLib.research.evaluation.sequences import TransferOptions, default_users, plan_sequences
from SPASegmentLib.research.evaluation.transfer import LEVELS, run_transfer

QUICK = Options(resamples=200)
SHORT = TransferOptions(warm=4, length=12)
PEOPLE = ("Ann", "Bob", "Cy", "Di")


def test_a_carried_profile_helps_a_user_of_a_style_and_spares_picks() -> None:
    found = run_transfer({"toy": toy()}, ToyDataset(48), QUICK, SHORT).summary["models"]["toy"]["users"]
    assert list(found) == ["largest", "smallest", "majority"]
    assert found["largest"]["dice_interval"][0] > 0.02
    assert found["largest"]["picks_interval"][1] < 0
    for style in ("largest", "smallest"):
        assert found[style]["dice_difference"] > 0.02
        assert found[style]["carried_picks"] < found[style]["fresh_picks"]
        assert found[style]["dice_difference"] == pytest.approx(
            found[style]["carried_dice"] - found[style]["fresh_dice"], abs=2e-6
        )


@pytest.mark.long
def test_the_first_case_of_a_sequence_starts_equal_and_only_taught_profiles_are_judged() -> None:
    records = run_transfer({"toy": toy()}, ToyDataset(40), QUICK, SHORT).records["toy"]
    for record in records:
        assert record.taught == list(range(len(record.cases)))
        assert record.fresh_dice[0] == record.carried_dice[0]
        assert record.judged == [taught >= 4 for taught in record.taught]
    by_position = run_transfer({"toy": toy()}, ToyDataset(40), QUICK, SHORT).summary["models"]["toy"]["users"]
    assert by_position["largest"]["by_position"][0]["fresh_dice"] == pytest.approx(
        by_position["largest"]["by_position"][0]["carried_dice"]
    )


@pytest.mark.long
def test_named_raters_are_the_users_where_raters_are_persons() -> None:
    dataset = ToyDataset(30, names=PEOPLE)
    assert default_users(dataset) == tuple(f"raters:{name}" for name in PEOPLE)
    found = run_transfer({"toy": toy()}, dataset, QUICK, SHORT).summary["models"]["toy"]["users"]
    assert found["raters:Di"]["dice_difference"] > 0.02  # who draws the largest masks of all


def test_a_profile_taught_on_other_images_is_not_taught_by_those_it_is_judged_on() -> None:
    train, test = ToyDataset(20, names=PEOPLE), ToyDataset(6, names=PEOPLE, reverse=True)
    found = run_transfer(
        {"toy": toy()}, test, QUICK, TransferOptions(("raters:Di",), warm=5), learn_from=train
    )
    [record] = found.records["toy"]
    assert record.judged == [False] * 5 + [True] * 6
    assert record.taught == [0, 1, 2, 3, 4] + [5] * 6
    assert sorted(record.cases[5:]) == sorted(test.case_ids())


def test_the_patients_a_profile_is_taught_on_are_kept_apart_from_those_it_is_judged_on() -> None:
    dataset = ToyDataset(20, names=PEOPLE)
    apart = TransferOptions(("raters:Di",), warm=4, apart=True)
    found = run_transfer({"toy": toy()}, dataset, QUICK, apart)
    [record] = found.records["toy"]
    assert record.judged == [False] * 4 + [True] * 12  # two cases of each of ten patients
    assert record.taught == [0, 1, 2, 3] + [4] * 12
    taught, judged = set(record.patients[:4]), set(record.patients[4:])
    assert len(taught) == 4 and len(judged) == 6 and not taught & judged
    figures = found.summary["models"]["toy"]["users"]["raters:Di"]
    assert figures["cases"] == 12 and figures["dice_difference"] > 0.02
    assert found.summary["apart"] is True
    with pytest.raises(SPASegmentError, match="after 10 cases of different patients"):
        run_transfer({"toy": toy()}, dataset, QUICK, replace(apart, warm=10))


def test_an_own_level_is_the_best_of_all_in_hindsight_and_each_cases_is_better_still() -> None:
    dataset = ToyDataset(12, names=PEOPLE)
    users = TransferOptions(("raters:Ann", "raters:Di"), warm=2, apart=True)
    found = run_transfer({"toy": toy()}, dataset, QUICK, users)
    both = found.summary["models"]["toy"]["all"]["own_level"]
    assert both["levels"]["raters:Ann"] > 0.5 > both["levels"]["raters:Di"]  # smallest and largest masks
    assert both["best_of_each"] > both["dice_difference"] > 0.02
    [ann, di] = found.records["toy"]
    told = found.summary["models"]["toy"]["users"]["raters:Di"]["own_level"]
    at = LEVELS.index(told["levels"]["raters:Di"])
    gains = [row[at] - row[LEVELS.index(0.5)] for row in di.level_dice[2:]]
    assert told["dice_difference"] == pytest.approx(np.mean(gains), abs=1e-6)
    case = dataset[dataset.case_ids().index(di.cases[0])]
    wanted = draw(case, 0, TargetRule.parse("raters:Di"))
    assert wanted is not None
    first = interact(ToyEngine(), case, wanted, iterations=1).proposals[0]
    assert di.level_dice[0][3] == pytest.approx(dice(first.probability >= LEVELS[3], wanted.target))
    assert len(ann.level_dice) == len(ann.cases)


def test_no_sequence_shows_two_cases_of_a_patient_and_every_case_comes_at_most_once() -> None:
    dataset = ToyDataset(40)
    plans = plan_sequences(dataset, range(40), SHORT, 0)
    for plan in plans:
        patients = [dataset[index].patient for index in plan.indices]
        assert len(set(patients)) == len(patients)
        assert len(plan.indices) > SHORT.warm
    everyone = [index for plan in plans for index in plan.indices]
    assert sorted(everyone) == list(range(40))
    assert plans == plan_sequences(dataset, range(40), SHORT, 0)
    assert plans != plan_sequences(dataset, range(40), SHORT, 1)


def test_too_few_patients_are_an_error() -> None:
    with pytest.raises(SPASegmentError, match="after 10 cases of different patients"):
        run_transfer({"toy": toy()}, ToyDataset(16), QUICK)
    with pytest.raises(SPASegmentError, match="after 10 cases"):
        run_transfer({"toy": toy()}, ToyDataset(16), QUICK, learn_from=ToyDataset(16))
    with pytest.raises(DatasetError, match="is no target"):
        run_transfer({"toy": toy()}, ToyDataset(40), QUICK, TransferOptions(("tallest",)))


@pytest.mark.long
def test_workers_change_no_figure_and_a_second_run_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "read.txt"
    alone = run_transfer({"toy": toy()}, ToyDataset(24), QUICK, SHORT)
    dataset = ToyDataset(24, trace=trace)
    options = Options(resamples=200, workers=2)
    several = run_transfer({"toy": toy()}, dataset, options, SHORT, out=tmp_path / "out")
    assert several.records == alone.records
    read = len(trace.read_text(encoding="utf-8").split())
    again = run_transfer({"toy": toy()}, dataset, QUICK, SHORT, out=tmp_path / "out")
    assert again.summary == alone.summary
    assert len(trace.read_text(encoding="utf-8").split()) - read <= 25  # the patients of the plan, once each
    with pytest.raises(SPASegmentError, match="another evaluation"):
        run_transfer({"toy": toy()}, dataset, Options(protocol_seed=3), SHORT, out=tmp_path / "out")
    monkeypatch.setattr(transfer, "DEFAULT", replace(DEFAULT, doubt=0.5))
    with pytest.raises(SPASegmentError, match="another evaluation"):
        run_transfer({"toy": toy()}, dataset, QUICK, SHORT, out=tmp_path / "out")


def test_the_carried_profiles_stay_in_files_that_hold_every_case_taught(tmp_path: Path) -> None:
    options = TransferOptions(("largest", "smallest"), 4, 12)
    records = run_transfer({"toy": toy()}, ToyDataset(24), QUICK, options, out=tmp_path).records["toy"]
    store = ProfileStore(tmp_path / "profiles")
    held = {name.rpartition(" ")[0]: store.load(name) for name in store.names()}
    assert set(held) == {f"toy {record.key}" for record in records}
    for record in records:
        profile = held[f"toy {record.key}"]
        assert profile.n_images == len(record.cases)
        assert all(item.consensus_mm2 is not None for item in profile.slices)
        assert not any(case in encode(profile).decode() for case in record.cases)
        larger = tendency(profile.slices)[0]
        assert larger is not None and (larger > 0.1 if record.user == "largest" else larger < -0.1)


def test_a_profile_left_by_a_stopped_run_is_begun_anew(tmp_path: Path) -> None:
    options = TransferOptions(("largest",), 4, 12)
    whole = run_transfer({"toy": toy()}, ToyDataset(24), QUICK, options, out=tmp_path)
    for lines in (tmp_path / "transfer").glob("*.jsonl"):
        kept = lines.read_text(encoding="utf-8").splitlines()[
            :1
        ]  # the profiles were written, their sequences not yet
        lines.write_text("\n".join(kept) + "\n")
    again = run_transfer({"toy": toy()}, ToyDataset(24), QUICK, options, out=tmp_path)
    assert again.records == whole.records
    store = ProfileStore(tmp_path / "profiles")
    taught = sum(store.load(name).n_images for name in store.names())
    assert taught == sum(len(record.cases) for record in whole.records["toy"])


def test_an_approval_without_a_pick_teaches_too(tmp_path: Path) -> None:
    case = ToyDataset()[2]
    drawn = draw(case, 0)
    assert drawn is not None
    sure = np.array([0.0, 0.0, 0.0, 1.0])
    proposal = interact(ToyEngine(), case, drawn, iterations=1, log_prior=sure).proposals[0]
    approved = DiskProfiles(tmp_path)(ToyEngine(), "a")
    approved.learn("a", (), proposal, case.spacing)
    assert np.ptp(approved.log_prior()) > 0


def test_the_carried_prior_reaches_the_engine_and_the_fresh_one_is_empty() -> None:
    engine = RecordingEngine()
    found = run_transfer({"toy": engine}, ToyDataset(20), QUICK, TransferOptions(("largest",), 4, 12))
    priors = [request.log_prior for request in engine.requests if not request.answered]
    assert all(prior is not None for prior in priors)
    assert all(not np.any(prior) for prior in priors[::2])
    assert np.mean([np.any(prior) for prior in priors[1::2]]) > 0.8
    areas = [request.usual_area for request in engine.requests if not request.answered]
    assert all(area is None for area in areas[::2])
    firsts = len(found.records["toy"])
    assert sum(area is None for area in areas[1::2]) == firsts, "nothing is taught before the first case"


def test_named_users_are_also_judged_together_and_styles_are_not() -> None:
    train, test = ToyDataset(20, names=PEOPLE), ToyDataset(6, names=PEOPLE, reverse=True)
    people = run_transfer({"toy": toy()}, test, QUICK, TransferOptions(warm=5), learn_from=train)
    [model] = people.summary["models"].values()
    assert list(model["users"]) == [f"raters:{name}" for name in PEOPLE]
    assert model["all"]["cases"] == sum(figures["cases"] for figures in model["users"].values())
    mean = np.mean([figures["dice_difference"] for figures in model["users"].values()])
    assert model["all"]["dice_difference"] == pytest.approx(mean, abs=0.01)
    low, high = model["all"]["dice_interval"]
    assert low <= model["all"]["dice_difference"] <= high
    styles = run_transfer({"toy": toy()}, ToyDataset(24), QUICK, SHORT).summary["models"]["toy"]
    assert styles["all"] is None
