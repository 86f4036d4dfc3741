"""A recursive descent over SOQL's grammar, as far as the sandbox speaks it.

Spoken: SELECT fields (through parents) or COUNT(), one object with an optional alias, WHERE, ORDER BY, LIMIT,
OFFSET. Not spoken, and told so: child and semi-join queries, GROUP BY, aggregates, TYPEOF, FIELDS(), date literals.
"""

from __future__ import annotations

from typing import cast

from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.soql.syntax import (
    Both,
    Comparison,
    Condition,
    Either,
    Membership,
    Not,
    Operator,
    Order,
    Path,
    Query,
    Value,
)
from stream.sandbox.salesforce.soql.tokens import Token, malformed, tokens

MAX_LENGTH = 100_000  # characters of a query: "SOQL and SOSL Limits"
MAX_OFFSET = 2000
MAX_DEPTH = 100  # parentheses; Salesforce gives no figure, Python's own stack is about 1,000 deep
_UNSPOKEN = frozenset({"GROUP", "HAVING", "TYPEOF", "FIELDS", "USING", "WITH"})
_CLAUSES = _UNSPOKEN | {"WHERE", "ORDER", "LIMIT", "OFFSET", "FOR"}


def parse(text: str) -> Query:
    """The parts of a query. Raises ApiError, mostly with MALFORMED_QUERY."""
    if len(text) > MAX_LENGTH:
        raise ApiError(
            400, "MALFORMED_QUERY", f"SOQL statements cannot be longer than {MAX_LENGTH} characters."
        )
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0
        self._alias = ""

    # Words

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._token
        self._at += 1
        return token

    def _wrong(self, message: str = "", token: Token | None = None) -> ApiError:
        token = token or self._token
        return malformed(self._text, token.start, message or f"unexpected token: '{token.text}'")

    def _is(self, *words: str) -> bool:
        """Whether these keywords or signs come next."""
        ahead = self._tokens[self._at : self._at + len(words)]
        return len(ahead) == len(words) and all(
            token.kind in ("name", "sign") and token.text.upper() == word
            for token, word in zip(ahead, words, strict=True)
        )

    def _take(self, *words: str) -> bool:
        found = self._is(*words)
        if found:
            self._at += len(words)
        return found

    def _expect(self, *words: str) -> None:
        for word in words:
            if not self._take(word):
                raise self._wrong(f"expecting '{word}', found '{self._token.text}'")

    def _name(self) -> Token:
        if self._token.kind != "name":
            raise self._wrong()
        return self._next()

    # Clauses

    def query(self) -> Query:
        self._expect("SELECT")
        paths: list[Path] = []
        count = self._take("COUNT", "(", ")")
        while not count:
            paths.append(self._path())
            if not self._take(","):
                break
        self._expect("FROM")
        entity = self._name()
        if self._token.kind == "name" and self._token.text.upper() not in _CLAUSES:
            self._alias = self._next().text.casefold()
        where = self._either() if self._take("WHERE") else None
        order: list[Order] = []
        if self._take("ORDER", "BY"):
            order.append(self._order())
            while self._take(","):
                order.append(self._order())
        limit = self._count() if self._take("LIMIT") else None
        offset = self._count() if self._take("OFFSET") else 0
        if offset > MAX_OFFSET:
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        self._take("FOR", "VIEW")
        if self._token.kind != "end":
            self._unspoken()
            raise self._wrong()
        return Query(
            text=self._text,
            entity=entity.text,
            entity_start=entity.start,
            paths=tuple(self._without(path) for path in paths),
            count=count,
            where=where,
            order=tuple(order),
            limit=limit,
            offset=offset,
        )

    def _without(self, path: Path) -> Path:
        """A path without the alias of the object it may start with."""
        steps = path.steps
        if len(steps) > 1 and self._alias and steps[0].casefold() == self._alias:
            return Path(steps[1:], path.start)
        return path

    def _unspoken(self) -> None:
        if self._token.text.upper() in _UNSPOKEN:
            raise self._wrong(f"{self._token.text.upper()} is SOQL that this sandbox does not speak")

    def _path(self) -> Path:
        if self._is("(", "SELECT"):
            raise self._wrong("child queries are SOQL that this sandbox does not speak")
        self._unspoken()
        token = self._name()
        if self._is("("):
            raise self._wrong(f"{token.text}() is SOQL that this sandbox does not speak", token)
        return self._without(Path(tuple(token.text.split(".")), token.start))

    def _order(self) -> Order:
        path = self._path()
        descending = self._take("DESC")
        if not descending:
            self._take("ASC")
        nulls_last = self._take("NULLS", "LAST")
        if not nulls_last:
            self._take("NULLS", "FIRST")
        return Order(path, descending, nulls_last)

    def _count(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit():
            raise self._wrong(token=token)
        return int(token.text)

    # Conditions

    def _either(self) -> Condition:
        first = self._condition()
        found = [first]
        joiner = next((word for word in ("AND", "OR") if self._is(word)), None)
        while joiner and self._take(joiner):
            found.append(self._condition())
        if self._is("AND") or self._is("OR"):
            # SOQL has no precedence between the two: it wants parentheses.
            raise self._wrong()
        if len(found) == 1:
            return first
        return Both(tuple(found)) if joiner == "AND" else Either(tuple(found))

    def _condition(self) -> Condition:
        if self._take("NOT"):
            return Not(self._deeper())
        return self._deeper()

    def _deeper(self) -> Condition:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong("too many parentheses")
        try:
            if self._take("("):
                inside = self._either()
                self._expect(")")
                return inside
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Condition:
        path = self._path()
        negated = self._take("NOT", "IN")
        if negated or self._take("IN"):
            return Membership(path, self._list(), negated)
        if self._take("LIKE"):
            value = self._literal()
            if value.kind != "text":
                raise self._wrong("LIKE takes a quoted string")
            return Comparison(path, "LIKE", value)
        sign = self._next()
        operator = "!=" if sign.text == "<>" else sign.text
        if sign.kind != "sign" or operator not in ("=", "!=", "<", "<=", ">", ">="):
            raise self._wrong(token=sign)
        return Comparison(path, cast(Operator, operator), self._literal())

    def _list(self) -> tuple[Value, ...]:
        self._expect("(")
        if self._is("SELECT"):
            raise self._wrong("semi-joins are SOQL that this sandbox does not speak")
        found = [self._literal()]
        while self._take(","):
            found.append(self._literal())
        self._expect(")")
        return tuple(found)

    def _literal(self) -> Value:
        token = self._next()
        if token.kind == "number":
            number = float(token.text)
            return Value("number", int(number) if number.is_integer() else number)
        if token.kind in ("text", "date", "datetime"):
            return Value(token.kind, token.text)
        word = token.text.upper()
        if token.kind == "name" and word in ("TRUE", "FALSE"):
            return Value("boolean", word == "TRUE")
        if token.kind == "name" and word == "NULL":
            return Value("null", None)
        if token.kind == "name":
            raise self._wrong(f"the literal {token.text} is SOQL that this sandbox does not speak", token)
        raise self._wrong(token=token)
