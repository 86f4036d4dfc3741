"""How much property tests try, and what a machine under load may not decide."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Whether an example is slow depends on what else the machine does, so neither the time of an example nor that of
# making one is judged. With CI set, Hypothesis's own profile `ci` does so too, and tries the same examples in every
# run, so that no change is blamed for an example that was found by chance; other runs go on looking for new ones.
settings.register_profile(
    "revstream", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
if settings.get_current_profile_name() != "ci":
    settings.load_profile("revstream")
