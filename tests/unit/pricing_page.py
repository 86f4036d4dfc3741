"""docs/reference/pricing.md, written from the golden cases: `python -m tests.unit.pricing_page`."""

from __future__ import annotations

from pathlib import Path

from agents.pricing import Mrr, mrr
from tests.unit.pricing_cases import INTRODUCTION, RULES, Case

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "pricing.md"


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for rule in RULES:
        parts.append(f"## {rule.title}\n\n{rule.says}\n")
        parts += (_example(case) for case in rule.cases)
    return "\n".join(parts)


def _example(case: Case) -> str:
    result = mrr(case.subscription, case.lookup, case.profile, case.at, case.customer_discount)
    assert isinstance(result, Mrr), f"{case.title}: {result}"
    printed = "\n".join(result.arithmetic)
    return f"**{case.title}**: {case.by_hand}\n\n```text\n{printed}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page())
