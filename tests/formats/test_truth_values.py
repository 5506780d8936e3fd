import pytest

from fuki_build.formats.truth_values import truth_value

# systemd.syntax(7); mkosi and ukify 262.1 take the same words.
TRUE = ("1", "yes", "y", "true", "t", "on")
FALSE = ("0", "no", "n", "false", "f", "off")


@pytest.mark.parametrize("word", [*TRUE, "Yes", "TRUE", "On"])
def test_words_of_systemd_are_true(word: str):
    assert truth_value(word) is True


@pytest.mark.parametrize("word", [*FALSE, "No", "FALSE", "Off"])
def test_words_of_systemd_are_false(word: str):
    assert truth_value(word) is False


@pytest.mark.parametrize("word", ["", "2", "yes ", "ja", "truee", "auto"])
def test_other_words_are_no_truth_values(word: str):
    assert truth_value(word) is None
