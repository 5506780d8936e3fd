from hypothesis import HealthCheck, settings

# The same examples everywhere: a failure that only one machine sees helps nobody. `make fuzz` looks further.
settings.register_profile(
    "fuki",
    deadline=None,
    derandomize=True,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow],
)
if settings.get_current_profile_name() != "mutants":
    settings.load_profile("fuki")
