"""The series and time point wanted are those the page shows."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SPASegmentLib.errors import InputError
from SPASegmentLib.imaging.choice import Wanted
from SPASegmentLib.viewer.volumes import file_choice


def test_the_time_point_wanted_is_shown_and_without_one_the_page_says_what_to_do(tmp_path):
    array = np.random.default_rng(0).integers(0, 90, (3, 4, 5, 6)).astype(np.int16)
    path = tmp_path / "perfusion.nrrd"
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(one) for one in array]), str(path))
    np.testing.assert_array_equal(file_choice(path, wanted=Wanted(time=2)).load().array, array[1])
    with pytest.raises(InputError, match=r"^perfusion.nrrd has 4 dimensions .* choose --time 1 to 3"):
        file_choice(path).load()
