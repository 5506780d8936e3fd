"""The linter of class names."""

from pathlib import Path

import lint_names


def test_a_class_name_that_two_modules_use_is_reported_with_both(tmp_path: Path):
    for module in ("first", "second"):
        (tmp_path / f"{module}.py").write_text("class Verdict:\n    pass\n\nclass _Row:\n    pass\n")
    (tmp_path / "third.py").write_text("class Report:\n    class Verdict:\n        pass\n")

    names = lint_names.repeated(tmp_path.glob("*.py"))

    assert names == {"Verdict": [tmp_path / "first.py", tmp_path / "second.py"]}
