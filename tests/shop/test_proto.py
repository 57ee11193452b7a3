"""The committed stubs are those of shop.proto."""

from pathlib import Path

from course_lib.shop import generate


def test_generating_the_stubs_again_changes_nothing(tmp_path: Path):
    generate.generate(tmp_path)
    made = sorted(tmp_path.rglob("*_pb2*.py*"))
    assert len(made) == 3
    for path in made:
        assert path.read_text() == (generate.PROTO.parent / path.name).read_text()
