"""Every mistake that a recipe's author can make, with what the error says of it."""

from tests.support.recipe_mistakes.changes import Mistakes
from tests.support.recipe_mistakes.files import FILES
from tests.support.recipe_mistakes.keys import KEYS
from tests.support.recipe_mistakes.names import NAMES
from tests.support.recipe_mistakes.texts import TEXTS

MISTAKES: Mistakes = {**KEYS, **TEXTS, **FILES, **NAMES}
