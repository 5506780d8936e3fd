"""A while of fuzzing, under sanitizers; `make fuzz` takes longer."""

import hand_over_fuzz


def test_the_program_survives_what_a_fuzzer_finds(tmp_path):
    told = hand_over_fuzz.run(hand_over_fuzz.build(tmp_path), tmp_path, "-runs=1500", "-seed=1")
    assert "inputs" in told
