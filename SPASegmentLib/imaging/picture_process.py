"""Decodes one picture. `decoding` starts this file as a script; it imports nothing of this package.

Arguments: the picture, the name of ITK's reader, `sys.path` as JSON. Standard output gets the layout as a
line of JSON, and once a line has come in, the array's shape and type as a line of JSON and its bytes.
"""

from __future__ import annotations

import json
import os
import sys
from typing import BinaryIO


def main(path: str, image_io: str) -> None:
    """Decode; what ITK refuses goes out as {"error": its text}."""
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints goes the way of its errors
        reader = sitk.ImageFileReader()
        try:
            reader.SetFileName(path)
            reader.SetImageIO(image_io)
            reader.ReadImageInformation()
            pixel = sitk.GetPixelIDValueAsString(reader.GetPixelID())
            _tell(answers, size=reader.GetSize(), components=reader.GetNumberOfComponents(), pixel=pixel)
            if not sys.stdin.readline():
                return
            array = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            _tell(answers, error=str(error))
            return
        _tell(answers, shape=array.shape, dtype=array.dtype.str)
        answers.write(array.data)


def _tell(answers: BinaryIO, **what: object) -> None:
    answers.write(json.dumps(what).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[3])
    main(sys.argv[1], sys.argv[2])
